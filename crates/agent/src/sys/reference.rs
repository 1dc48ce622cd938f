//! The system calls that read reference clocks: devices and System V shared memory.

use std::ffi::{CString, c_int, c_void};
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{Ordering, fence};

use super::check;

/// Seconds since 1970, and nanoseconds as the kernel gave them.
pub(crate) type KernelTime = (i64, u32);

/// A reading of a hardware clock between two of the system clock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct CrossStamp {
    pub(crate) before: KernelTime,
    pub(crate) device: KernelTime,
    pub(crate) after: KernelTime,
}

/// Opens a device for reading. Through libc's own symbol, for the simulator's sake.
pub(crate) fn open_device(path: &str) -> io::Result<OwnedFd> {
    let path = CString::new(path).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    // SAFETY: `path` is terminated by zero.
    let fd = check(unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) })?;
    // SAFETY: the descriptor was just made and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Both clocks as the hardware stamped them at once.
pub(crate) fn phc_precise(device: BorrowedFd<'_>) -> io::Result<CrossStamp> {
    // SAFETY: the structure is integers only, for all of which zero is a valid value.
    let mut answer: libc::ptp_sys_offset_precise = unsafe { mem::zeroed() };
    // SAFETY: the request reads and writes a live structure of this type.
    unsafe { request(device, libc::PTP_SYS_OFFSET_PRECISE, (&raw mut answer).cast()) }?;
    let system = kernel_time(answer.sys_realtime);
    Ok(CrossStamp { before: system, device: kernel_time(answer.device), after: system })
}

/// `readings` readings (25 at most), each between two of the system clock by the driver.
pub(crate) fn phc_extended(device: BorrowedFd<'_>, readings: usize) -> io::Result<Vec<CrossStamp>> {
    // SAFETY: the structure is integers only, for all of which zero is a valid value.
    let mut answer: libc::ptp_sys_offset_extended = unsafe { mem::zeroed() };
    let readings = readings.min(answer.ts.len());
    answer.n_samples = readings as libc::c_uint;
    // SAFETY: the request reads and writes a live structure of this type.
    unsafe { request(device, libc::PTP_SYS_OFFSET_EXTENDED, (&raw mut answer).cast()) }?;
    let stamp = |[before, device, after]: &[libc::ptp_clock_time; 3]| CrossStamp {
        before: kernel_time(*before),
        device: kernel_time(*device),
        after: kernel_time(*after),
    };
    Ok(answer.ts[..readings].iter().map(stamp).collect())
}

/// `readings` readings (25 at most) in turn with those of the system clock by the kernel.
pub(crate) fn phc_plain(device: BorrowedFd<'_>, readings: usize) -> io::Result<Vec<CrossStamp>> {
    // SAFETY: the structure is integers only, for all of which zero is a valid value.
    let mut answer: libc::ptp_sys_offset = unsafe { mem::zeroed() };
    let readings = readings.min(answer.ts.len() / 2);
    answer.n_samples = readings as libc::c_uint;
    // SAFETY: the request reads and writes a live structure of this type.
    unsafe { request(device, libc::PTP_SYS_OFFSET, (&raw mut answer).cast()) }?;
    let stamp = |i: usize| CrossStamp {
        before: kernel_time(answer.ts[2 * i]),
        device: kernel_time(answer.ts[2 * i + 1]),
        after: kernel_time(answer.ts[2 * i + 2]),
    };
    Ok((0..readings).map(stamp).collect())
}

/// # Safety
/// `argument` must point to what `code` reads and writes.
unsafe fn request(
    device: BorrowedFd<'_>,
    code: libc::Ioctl,
    argument: *mut c_void,
) -> io::Result<()> {
    // SAFETY: the caller sees to the argument.
    check(unsafe { libc::ioctl(device.as_raw_fd(), code, argument) }).map(drop)
}

fn kernel_time(time: libc::ptp_clock_time) -> KernelTime {
    (time.sec, time.nsec)
}

/// A segment of System V shared memory, detached when dropped.
#[derive(Debug)]
pub(crate) struct SharedSegment {
    id: c_int,
    at: NonNull<u32>,
    octets: usize,
    writable: bool,
}

// SAFETY: the segment is mapped for the whole process, and every access to it is volatile.
unsafe impl Send for SharedSegment {}

impl SharedSegment {
    /// Attaches the segment of a key, of `octets` (a multiple of four), and makes it with the
    /// permissions `mode` where there is none. Where writing is refused it is only read.
    pub(crate) fn attach(key: i32, octets: usize, mode: u32) -> io::Result<Self> {
        let flags = libc::IPC_CREAT | (mode & 0o777).cast_signed();
        // SAFETY: `shmget` takes no pointers.
        let made = check(unsafe { libc::shmget(key, octets, flags) });
        let id = match made {
            Ok(id) => id,
            // One that may only be read cannot be asked for with more.
            // SAFETY: `shmget` takes no pointers.
            Err(error) if error.raw_os_error() == Some(libc::EACCES) => {
                check(unsafe { libc::shmget(key, octets, 0o444) })?
            }
            Err(error) => return Err(error),
        };
        let (at, writable) = match map(id, 0) {
            Err(error) if error.raw_os_error() == Some(libc::EACCES) => {
                (map(id, libc::SHM_RDONLY)?, false)
            }
            at => (at?, true),
        };
        Ok(Self { id, at, octets, writable })
    }

    /// Copies the segment's first octets, word by word, as they are at the moment.
    pub(crate) fn copy(&self, octets: &mut [u8]) {
        for (i, place) in octets.chunks_exact_mut(4).enumerate() {
            place.copy_from_slice(&self.word(4 * i).to_ne_bytes());
        }
        // What is read after this is from after.
        fence(Ordering::Acquire);
    }

    /// The word at an octet, a multiple of four.
    pub(crate) fn word(&self, at: usize) -> u32 {
        // SAFETY: the place lies in the mapped segment and is aligned.
        unsafe { self.place(at).read_volatile() }
    }

    /// Writes the word at an octet, a multiple of four, where that is allowed.
    pub(crate) fn set_word(&self, at: usize, value: u32) {
        if self.writable {
            // SAFETY: the place lies in the segment, which is mapped for writing, and is aligned.
            unsafe { self.place(at).write_volatile(value) }
        }
    }

    /// Whether every user of the machine may write it; `false` where that is not known.
    pub(crate) fn others_may_write(&self) -> bool {
        // SAFETY: the structure is integers only, for all of which zero is a valid value.
        let mut told: libc::shmid_ds = unsafe { mem::zeroed() };
        // SAFETY: the command fills a live structure of this type.
        let known = check(unsafe { libc::shmctl(self.id, libc::IPC_STAT, &raw mut told) });
        known.is_ok() && u32::from(told.shm_perm.mode) & 0o002 != 0
    }

    /// Removes the segment as soon as nobody has it attached.
    #[cfg(test)]
    pub(crate) fn remove(&self) -> io::Result<()> {
        // SAFETY: the command takes no structure.
        check(unsafe { libc::shmctl(self.id, libc::IPC_RMID, ptr::null_mut()) }).map(drop)
    }

    fn place(&self, at: usize) -> *mut u32 {
        assert!(at.is_multiple_of(4) && at + 4 <= self.octets, "{at} is no place in the segment");
        self.at.as_ptr().wrapping_byte_add(at)
    }
}

impl Drop for SharedSegment {
    fn drop(&mut self) {
        // SAFETY: the segment was attached there and is not used any more.
        unsafe { libc::shmdt(self.at.as_ptr().cast()) };
    }
}

fn map(id: c_int, flags: c_int) -> io::Result<NonNull<u32>> {
    // SAFETY: the kernel chooses a place that is free.
    let at = unsafe { libc::shmat(id, ptr::null(), flags) };
    if at.addr() == usize::MAX {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(at.cast()).ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))
}
