//! Scenarios that nobody tunes for: one thing after the other is another than usual.

use super::Scenario;

/// What the clock settles within, beside the jitter, where the oscillator walks as usual.
const CALM: f64 = 5e-5;

/// Another value of something, and what it makes of a scenario.
struct Other<'a> {
    name: &'a str,
    values: &'a [f64],
    set: fn(&mut Scenario, f64),
}

/// Each of the usual networks with each other value, asked every 64 s and by each daemon's habit.
pub(in crate::bench::chrony) fn others() -> Vec<Scenario> {
    let mut all = Vec::new();
    for poll in [Some(6), None] {
        for usual in [lan(poll), wan(poll)] {
            for other in OTHERS {
                all.extend(other.values.iter().map(|value| other.of(&usual, *value)));
            }
        }
    }
    let usual = lan(Some(6));
    all.extend(POLLS.iter().map(|(poll, length)| Scenario {
        name: format!("lan-poll={poll}"),
        poll: Some(*poll),
        length: *length,
        judged_from: length / 4,
        ..usual.clone()
    }));
    all
}

fn lan(poll: Option<i8>) -> Scenario {
    let habit = if poll.is_none() { "def" } else { "" };
    Scenario { poll, ..Scenario::new(format!("lan{habit}"), 1e-4, CALM + 3e-4) }
}

fn wan(poll: Option<i8>) -> Scenario {
    let habit = if poll.is_none() { "def" } else { "" };
    Scenario { poll, base: 1e-2, ..Scenario::new(format!("wan{habit}"), 1e-3, CALM + 3e-3) }
}

/// log2 of the interval, and for how long.
const POLLS: &[(i8, usize)] = &[(-2, 2_000), (0, 4_000), (3, 20_000), (8, 100_000), (10, 200_000)];

const OTHERS: &[Other<'_>] = &[
    Other {
        name: "base",
        values: &[1e-6, 1e-3, 5e-3, 5e-2, 0.15],
        set: |scenario, value| scenario.base = value,
    },
    Other {
        name: "jitter",
        values: &[1e-6, 1e-5, 1e-2, 5e-2],
        set: |scenario, value| {
            scenario.jitters = vec![value];
            scenario.settled_within = CALM + 3.0 * value;
        },
    },
    Other {
        name: "wander",
        values: &[0.0, 1e-11, 1e-10, 1e-8, 1e-7],
        set: |scenario, value| {
            scenario.wander = value;
            // What it walks away by in some thousand seconds.
            scenario.settled_within += value * 1e5;
        },
    },
    Other {
        name: "swing3600",
        values: &[1e-7, 1e-6, 5e-6],
        set: |scenario, value| {
            scenario.temperature = (value, 3_600.0);
            scenario.settled_within += value * 1e3;
        },
    },
    Other {
        name: "swing86400",
        values: &[1e-6, 1e-5],
        set: |scenario, value| {
            scenario.temperature = (value, 86_400.0);
            scenario.settled_within += value * 1e2;
        },
    },
    Other {
        name: "ratestep",
        values: &[1e-7, 5e-7, 1e-6],
        set: |scenario, value| scenario.rate_step = Some((20_000, value)),
    },
    Other { name: "loss", values: &[0.1, 0.5, 0.9], set: |scenario, value| scenario.loss = value },
    Other { name: "spike", values: &[1e-3, 1e-1], set: |scenario, value| scenario.spike = value },
    Other {
        name: "asymmetry",
        values: &[0.5, 0.9, -0.9],
        set: |scenario, value| scenario.asymmetry = value,
    },
    Other {
        name: "servers",
        values: &[2.0, 3.0, 8.0],
        set: |scenario, value| scenario.jitters = vec![scenario.jitters[0]; value as usize],
    },
    Other {
        name: "lie",
        values: &[1e-4, 1e-3, 1e-2, 1.0],
        set: |scenario, value| {
            scenario.jitters = vec![scenario.jitters[0]; 4];
            scenario.lie = value;
        },
    },
    Other {
        name: "offset",
        values: &[0.0, 1e-4, 0.3, 100.0],
        set: |scenario, value| scenario.offset = value,
    },
    Other { name: "rate", values: &[0.0, 1e-4], set: |scenario, value| scenario.rate = value },
    Other {
        name: "outage",
        values: &[2_000.0, 10_000.0],
        set: |scenario, value| scenario.outage = Some((20_000, 20_000 + value as u32)),
    },
    Other {
        name: "length",
        values: &[2_000.0, 5_000.0, 100_000.0],
        set: |scenario, value| {
            scenario.length = value as usize;
            scenario.judged_from = scenario.length / 4;
        },
    },
];

impl Other<'_> {
    fn of(&self, usual: &Scenario, value: f64) -> Scenario {
        let mut scenario = usual.clone();
        scenario.name = format!("{}-{}={value}", usual.name, self.name);
        // It is where the table of `bench chrony` shows it; here its kinds would be drowned in it.
        scenario.is_told_error_judged = false;
        (self.set)(&mut scenario, value);
        scenario
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_name_of_its_own() {
        let mut names: Vec<String> = others().into_iter().map(|scenario| scenario.name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn another_value_leaves_the_rest_as_usual() {
        let all = others();
        let far = all.iter().find(|scenario| scenario.name == "wandef-base=0.15").unwrap();
        assert_eq!((far.base, far.poll, &*far.jitters), (0.15, None, [1e-3].as_slice()));
        assert_eq!((far.wander, far.length), (1e-9, 40_000));
    }
}
