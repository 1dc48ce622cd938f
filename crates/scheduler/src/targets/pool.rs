//! Threads that stand ready, so that a release at T only has to wake one.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// A thread that had nothing to do for this long ends.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// Enough for a target's few frames.
const STACK_OCTETS: usize = 128 * 1024;

/// What a thread does.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// A pool of threads; clones share it.
#[derive(Clone)]
pub(super) struct Pool(Arc<Shared>);

struct Shared {
    /// The channels of the threads that wait, the latest busy one last: it is the warmest.
    idle: Mutex<Vec<Worker>>,
    threads: AtomicUsize,
    threads_max: usize,
}

struct Worker {
    number: usize,
    jobs: Sender<Job>,
}

impl Pool {
    /// Makes a pool without threads, which never has more than `threads_max`.
    pub(super) fn new(threads_max: usize) -> Self {
        let (idle, threads) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
        Self(Arc::new(Shared { idle, threads, threads_max }))
    }

    /// Has at least `n` threads wait for work, as far as the limit allows.
    pub(super) fn warm(&self, n: usize) -> io::Result<()> {
        let idle = self.0.lock().len();
        for _ in idle..n {
            let Some(worker) = self.add_thread()? else { break };
            self.0.lock().push(worker);
        }
        Ok(())
    }

    /// Hands `job` to a thread that waits, or to a new one; gives it back where the limit is
    /// reached.
    pub(super) fn run(&self, job: Job) -> Result<(), Job> {
        let mut job = job;
        loop {
            // Bound first, so that the lock is released before the thread is woken.
            let worker = self.0.lock().pop();
            let Some(worker) = worker else { break };
            match worker.jobs.send(job) {
                Ok(()) => return Ok(()),
                Err(unsent) => job = unsent.0,
            }
        }
        match self.add_thread() {
            Ok(Some(worker)) => worker.jobs.send(job).map_err(|unsent| unsent.0),
            Ok(None) | Err(_) => Err(job),
        }
    }

    /// Makes a thread unless there are as many as may be.
    fn add_thread(&self) -> io::Result<Option<Worker>> {
        static NUMBERS: AtomicUsize = AtomicUsize::new(0);
        let max = self.0.threads_max;
        let count = |n: usize| (n < max).then_some(n + 1);
        if self.0.threads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count).is_err() {
            return Ok(None);
        }
        // Made before the thread, so that the count goes down however the thread ends.
        let counted = Counted(Arc::clone(&self.0));
        let (jobs, received) = mpsc::channel();
        let worker = Worker { number: NUMBERS.fetch_add(1, Ordering::Relaxed), jobs };
        let (number, again) = (worker.number, worker.jobs.clone());
        thread::Builder::new()
            .name("target".to_owned())
            .stack_size(STACK_OCTETS)
            .spawn(move || counted.0.work(number, &again, &received))?;
        Ok(Some(worker))
    }
}

struct Counted(Arc<Shared>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.threads.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    fn work(&self, number: usize, jobs: &Sender<Job>, received: &Receiver<Job>) {
        loop {
            let job = match received.recv_timeout(IDLE_MAX) {
                Ok(job) => job,
                Err(_) => {
                    let mut idle = self.lock();
                    let place = idle.iter().position(|worker| worker.number == number);
                    if let Some(place) = place {
                        idle.remove(place);
                        return;
                    }
                    drop(idle);
                    // Somebody took it out of its place, and sends a job now.
                    let Ok(job) = received.recv() else { return };
                    job
                }
            };
            job();
            self.lock().push(Worker { number, jobs: jobs.clone() });
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Worker>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_pool_gives_the_job_back_and_recovers() {
        let pool = Pool::new(2);
        pool.warm(5).unwrap();
        let (hold, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let (done, ended) = mpsc::channel();
        let job = |n: u32| -> Job {
            let (held, done) = (Arc::clone(&held), done.clone());
            Box::new(move || {
                held.lock().unwrap().recv().unwrap();
                done.send(n).unwrap();
            })
        };
        assert!(pool.run(job(1)).is_ok() && pool.run(job(2)).is_ok());
        let third = pool.run(job(3)).expect_err("two threads are busy");
        hold.send(()).unwrap();
        ended.recv().unwrap();
        let mut waiting = Some(third);
        while let Some(job) = waiting.take() {
            waiting = pool.run(job).err();
            thread::yield_now();
        }
        hold.send(()).unwrap();
        hold.send(()).unwrap();
        let mut last = [ended.recv().unwrap(), ended.recv().unwrap()];
        last.sort_unstable();
        assert_eq!(last[1], 3);
        assert_eq!(pool.0.threads.load(Ordering::Relaxed), 2);
    }
}
