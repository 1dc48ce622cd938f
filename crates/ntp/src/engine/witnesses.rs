//! What servers say together, some of which have several addresses.

use timeball_timebase::{Interval, coverage_hull};

/// Who has a voice: one address of a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Witness {
    /// The place of the server's first address, which tells servers apart.
    pub(super) server: usize,
    /// The address's own place.
    pub(super) place: usize,
}

/// What those who have a voice say, whether all of them say something or not.
///
/// The addresses of one server say together what holds all that any of them says, and nothing
/// unless all of them say something.
#[derive(Debug, Default)]
pub(super) struct Said {
    servers: Several,
    addresses: Several,
}

/// What some say, of how many that have a voice.
#[derive(Debug, Default)]
struct Several {
    entitled: usize,
    intervals: Vec<Interval>,
}

impl Said {
    /// What these say, who come server by server, each as `interval` tells by its place.
    pub(super) fn by(witnesses: &[Witness], interval: impl Fn(usize) -> Option<Interval>) -> Self {
        let mut said = Self::default();
        for addresses in witnesses.chunk_by(|a, b| a.server == b.server) {
            let mut together = None;
            for (i, witness) in addresses.iter().enumerate() {
                let interval = interval(witness.place);
                said.addresses.add(interval);
                together = match (together, interval) {
                    (Some(all), Some(interval)) => Some(interval.hull(&all)),
                    (None, interval) if i == 0 => interval,
                    _ => None,
                };
            }
            said.servers.add(together);
        }
        said
    }

    /// How many servers have a voice.
    pub(super) fn servers(&self) -> usize {
        self.servers.entitled
    }

    /// What the servers that say anything do.
    pub(super) fn by_servers(&self) -> &[Interval] {
        &self.servers.intervals
    }

    /// The smallest interval that certainly holds the truth; `None` where too few say anything, or
    /// they contradict each other.
    ///
    /// It holds the truth while of n servers at most ⌊(n − 1) / 2⌋ are false, and while that is so
    /// of the addresses: those who only pretend to be one server are told apart by the latter.
    pub(super) fn allowed(&self) -> Option<Interval> {
        let (by_servers, by_addresses) = (self.servers.shared()?, self.addresses.shared()?);
        match by_addresses {
            Some(by_addresses) => {
                let by_servers = by_servers.filter(|one| one.overlaps(&by_addresses))?;
                Some(by_servers.hull(&by_addresses))
            }
            None => by_servers,
        }
    }
}

impl Several {
    fn add(&mut self, said: Option<Interval>) {
        self.entitled += 1;
        self.intervals.extend(said);
    }

    /// What so many share that they cannot all be false; `None` where no more speak than may be
    /// false.
    #[expect(clippy::option_option, reason = "to share nothing is another matter than to be few")]
    fn shared(&self) -> Option<Option<Interval>> {
        let false_max = self.entitled.saturating_sub(1) / 2;
        let true_min = self.intervals.len().checked_sub(false_max).filter(|min| *min > 0)?;
        Some(coverage_hull(&self.intervals, true_min))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use timeball_timebase::Span;

    /// What is allowed for by servers whose addresses say this.
    fn allowed(servers: &[Vec<Option<Interval>>]) -> Option<Interval> {
        let numbered = servers.iter().enumerate();
        let places = numbered.flat_map(|(server, said)| said.iter().map(move |_| server));
        let witnesses: Vec<Witness> =
            places.enumerate().map(|(place, server)| Witness { server, place }).collect();
        let said: Vec<_> = servers.iter().flatten().copied().collect();
        Said::by(&witnesses, |place| said[place]).allowed()
    }

    fn said(earliest: i64, latest: i64) -> Option<Interval> {
        let (earliest, latest) = (Span::from_nanos(earliest), Span::from_nanos(latest));
        Some(Interval { earliest, latest })
    }

    #[test]
    fn a_wrong_server_with_two_addresses_has_one_voice() {
        let wrong = vec![said(100, 101), said(100, 102)];
        let (b, c) = (vec![said(-1, 2)], vec![said(-2, 1)]);
        assert_eq!(allowed(&[wrong.clone(), b.clone(), c.clone()]), said(-1, 1));
        // As four servers nobody could be told from the others, as two neither.
        let [w, x] = [0, 1].map(|i| vec![wrong[i]]);
        assert_eq!(allowed(&[w, x, b.clone(), c]), None);
        assert_eq!(allowed(&[wrong, b]), None);
    }

    #[test]
    fn who_pretends_to_be_an_honest_server_leaves_in_what_that_says() {
        // The narrowest promise is the mimic's, and beside the truth at zero.
        let pair = vec![said(-5, 5), said(4, 6)];
        let hull = allowed(&[pair, vec![said(-4, 8)]]).unwrap();
        assert!(hull.contains(Span::ZERO), "{hull:?}");
    }

    #[test]
    fn too_few_that_speak_say_nothing_together() {
        let (gone, speaks) = (vec![None], vec![said(0, 1)]);
        assert_eq!(allowed(&[]), None);
        assert_eq!(allowed(&[gone.clone(), gone.clone(), speaks.clone()]), None);
        assert_eq!(allowed(&[gone, speaks]), said(0, 1));
        // Half of a server says nothing.
        let half = [0, 1].map(|place| Witness { server: 0, place });
        for silent in [0, 1] {
            let said = Said::by(&half, |place| said(0, 1).filter(|_| place != silent));
            assert_eq!((said.servers(), said.by_servers()), (1, [].as_slice()));
        }
    }

    /// Up to nine addresses: whether each is honest, what it says beside the truth at zero, and the
    /// number of the server that it seems to be of.
    fn addresses() -> impl Strategy<Value = Vec<(bool, i64, i64, usize)>> {
        prop::collection::vec((any::<bool>(), -50_i64..50, 0_i64..40, 0_usize..9), 1..9)
    }

    /// What is allowed for by addresses that seem to be of such servers, and whether no more of the
    /// servers, and of the addresses, are false than may be.
    fn judged(addresses: &[(bool, i64, i64, usize)]) -> (Option<Interval>, bool, bool) {
        let mut servers = vec![(Vec::new(), false); 9];
        for &(is_honest, a, b, number) in addresses {
            let interval = if is_honest { said(-a.abs(), b) } else { said(a, a + b) };
            let is_true = interval.is_some_and(|interval| interval.contains(Span::ZERO));
            servers[number].0.push((interval, is_true));
        }
        servers.retain(|(members, _)| !members.is_empty());
        let false_servers = servers.iter().filter(|(m, _)| !m.iter().any(|(_, t)| *t)).count();
        let members = || servers.iter().flat_map(|(members, _)| members);
        let false_addresses = members().filter(|(_, is_true)| !is_true).count();
        let is_minority = |wrong: usize, of: usize| wrong <= (of - 1) / 2;
        let few = is_minority(false_servers, servers.len());
        let few_addresses = is_minority(false_addresses, members().count());
        let said: Vec<Vec<_>> =
            servers.iter().map(|(members, _)| members.iter().map(|(i, _)| *i).collect()).collect();
        (allowed(&said), few, few_addresses)
    }

    proptest! {
        #[test]
        fn the_truth_is_allowed_while_few_servers_or_few_addresses_are_false(all in addresses()) {
            let (hull, few_servers, few_addresses) = judged(&all);
            if let Some(hull) = hull.filter(|_| few_servers || few_addresses) {
                prop_assert!(hull.contains(Span::ZERO), "{hull:?}");
            }
            // And something is, where both counts say so.
            prop_assert!(hull.is_some() || !(few_servers && few_addresses));
        }

        #[test]
        fn liars_that_pretend_to_be_honest_servers_never_silence_those(
            honest in prop::collection::vec((0_i64..50, 0_i64..50), 1..6),
            liars in prop::collection::vec((-50_i64..50, 0_i64..40, 0_usize..9), 0..5),
        ) {
            prop_assume!(liars.len() < honest.len());
            let mut all: Vec<_> =
                honest.iter().enumerate().map(|(i, &(a, b))| (true, a, b, i)).collect();
            all.extend(liars.iter().map(|&(a, b, whose)| (false, a, b, whose)));
            let (hull, ..) = judged(&all);
            prop_assert!(hull.is_some_and(|hull| hull.contains(Span::ZERO)), "{hull:?}");
        }
    }
}
