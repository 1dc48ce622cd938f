//! The steps between which a crash leaves different traces, by name, so that tests can kill the
//! process at each of them.
//!
//! Only the crate's own tests are built to die: everywhere else [`pass`] does nothing and costs
//! nothing. It is not a feature, which whoever builds the workspace with all of them would ship.

/// Defines [`Point`], and for the tests the list of all.
macro_rules! points {
    ($($(#[$meaning:meta])* $name:ident,)*) => {
        /// A step of a start, a fire, the store, a reload or a stop.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub(crate) enum Point { $($(#[$meaning])* $name,)* }

        #[cfg(test)]
        impl Point {
            /// Every point, in the order in which they stand here.
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

points! {
    /// The store's file is there, and holds no format yet or that of the last process.
    StoreMade,
    /// A store that is mostly waste is about to be compacted.
    Compacting,
    /// It has been.
    Compacted,
    /// The books are read; the journal is not open yet.
    StoreOpened,
    /// A new journal is all zeros.
    JournalWiped,
    /// What the journal had is in the books, and nothing of that is durable.
    JournalReplayed,
    /// Schedules whose files went away are out; those that are new are not in.
    ReloadRemoved,
    /// One of the schedules that are new or edited is in.
    ReloadUpserted,
    /// The definition of a schedule is in the books; not durable.
    ReloadAdopted,
    /// What somebody wants is in the books; not durable.
    WishEntered,
    /// Claims are in the books; not durable.
    ClaimEntered,
    /// A batch is handed to the store's file, which does not contain it yet.
    BatchWritten,
    /// The store contains the batch; nobody knows.
    BatchDurable,
    /// The journal knows that the store contains the batch.
    BatchSettled,
    /// A batch deletes rows of changes, which images of the accounts contain by now; it is handed
    /// to the store's file, which does not contain it yet.
    Folding,
    /// The store has those images and not those rows; nobody knows.
    Folded,
    /// A fire is with the firing thread and its target.
    FireArmed,
    /// A fire is about to be noted as begun.
    Beginning,
    /// It is noted; it has had no effect as yet.
    Begun,
    /// The firing thread is about to release a fire.
    ReleaseDue,
    /// It has; nobody was told.
    Released,
    /// A program was started, or let go by its gate.
    ProgramStarted,
    /// The effect is over; nobody was told.
    EffectDone,
    /// The dispatcher has the end of a fire; its planner does not.
    EndTaken,
    /// An outcome is in the journal and not in the books.
    OutcomeNoted,
    /// An outcome is in the books; not durable.
    OutcomeEntered,
    /// The last commit of a stop is about to be made.
    Closing,
    /// It was made.
    Closed,
}

/// Passes a point.
#[cfg(not(test))]
#[inline(always)]
pub(crate) fn pass(_point: Point) {}

#[cfg(test)]
pub(crate) use fatal::{DIE_AT, pass};

#[cfg(test)]
mod fatal {
    use super::Point;
    use crate::sys::Process;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// The variable that says where to die: a point's name, a colon, and at which passing (1+).
    pub(crate) const DIE_AT: &str = "TIMEBALL_TEST_DIE_AT";

    /// Passes a point, or dies there as by `kill -9`.
    pub(crate) fn pass(point: Point) {
        static FATAL: LazyLock<Option<(Point, u64)>> = LazyLock::new(|| {
            let text = std::env::var(DIE_AT).ok()?;
            let (name, passing) = text.split_once(':').expect("a name and a number");
            let named = |point: &&Point| format!("{point:?}") == name;
            let point = Point::ALL.iter().find(named).expect("there is such a point");
            Some((*point, passing.parse().expect("a number")))
        });
        static PASSED: AtomicU64 = AtomicU64::new(0);
        let Some((fatal, passing)) = *FATAL else { return };
        if fatal != point || PASSED.fetch_add(1, Ordering::Relaxed) + 1 != passing {
            return;
        }
        let pid = i32::try_from(std::process::id()).expect("a process number is small");
        let killed = Process::open(pid).and_then(|ourselves| ourselves.signal(libc::SIGKILL));
        panic!("still there: {killed:?}");
    }
}
