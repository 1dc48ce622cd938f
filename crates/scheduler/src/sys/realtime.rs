//! Real-time scheduling of a thread, and memory that stays where it is.

use super::check;
use std::io;

/// Puts the calling thread into the class SCHED_FIFO. What it starts is in the usual class again.
///
/// # Errors
/// EPERM without CAP_SYS_NICE and where `RLIMIT_RTPRIO` is below `priority` (1 to 99).
pub(crate) fn schedule_fifo(priority: u8) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: priority.into() };
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: `parameters` lives through the call; 0 means the calling thread.
    check(unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) }).map(|_| ())
}

/// Keeps all memory of this process from being paged out, each page from its first use on.
///
/// # Errors
/// Where `RLIMIT_MEMLOCK` is finite and we have no CAP_IPC_LOCK: it would be reached some day, and
/// memory be refused then that is needed.
pub(crate) fn lock_memory() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a local that lives through the call.
    check(unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) })?;
    if limit.rlim_cur != libc::RLIM_INFINITY && !may_lock_without_limit() {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    // SAFETY: takes numbers only.
    check(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) })
        .map(|_| ())
}

/// Whether CAP_IPC_LOCK is in effect (capabilities(7)).
fn may_lock_without_limit() -> bool {
    const VERSION_3: u32 = 0x2008_0522;
    const CAP_IPC_LOCK: u32 = 14;
    let header = [VERSION_3, 0];
    // Effective, permitted and inheritable of the lower capabilities, then of the higher ones.
    let mut sets = [0_u32; 6];
    let (head, data) = (header.as_ptr(), sets.as_mut_ptr());
    // SAFETY: the header is a version and a thread (0: ours), and there is room for both parts of
    // version 3.
    let result = unsafe { libc::syscall(libc::SYS_capget, head, data) };
    result == 0 && sets[0] & (1 << CAP_IPC_LOCK) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_real_time_or_it_is_refused_and_its_children_are_not() {
        // A thread of its own, or other tests would be in the way of one that is real time.
        let thread = std::thread::spawn(|| {
            if let Err(error) = schedule_fifo(1) {
                return assert_eq!(error.raw_os_error(), Some(libc::EPERM));
            }
            // SAFETY: takes numbers only.
            let policy = || unsafe { libc::sched_getscheduler(0) } & !libc::SCHED_RESET_ON_FORK;
            assert_eq!(policy(), libc::SCHED_FIFO);
            let started = std::thread::spawn(policy).join().unwrap();
            assert_eq!(started, libc::SCHED_OTHER);
        });
        thread.join().unwrap();
    }
}
