//! The pages of the program's code that are resident.

use std::fs;
use std::io;
use std::ops::Range;
use std::ptr;

/// Takes the code off the resident memory that was mapped so far.
///
/// Around each page of code that is run for the first time the kernel maps the pages beside it, and
/// leaves them there. After a start most of them are of code that runs once, such as the reading of
/// arguments and settings. What runs on is mapped again, from the page cache, when it is run next.
///
/// # Errors
/// Where the process's own mappings cannot be read, or the kernel refuses; nothing but memory
/// depends on it.
pub fn forget_code() -> io::Result<()> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    for Range { start, end } in maps.lines().filter_map(code_of_a_file) {
        let address = ptr::with_exposed_provenance_mut(start);
        // SAFETY: the range is a private mapping of a file that may be run and not written, so its
        // pages are those of the file and are read from there again.
        if unsafe { libc::madvise(address, end - start, libc::MADV_DONTNEED) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// The addresses of a line of `/proc/self/maps` that tells of a file's code; `None` for all others.
/// Data that are not written any more are none: relocations were written to them.
fn code_of_a_file(line: &str) -> Option<Range<usize>> {
    let mut words = line.split_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let is_code = words.next()? == "r-xp" && words.nth(3)?.starts_with('/');
    let address = |hexadecimal| usize::from_str_radix(hexadecimal, 16).ok();
    is_code.then_some(address(start)?..address(end)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is resident of the code, in KiB.
    fn resident() -> u64 {
        let text = fs::read_to_string("/proc/self/smaps").unwrap();
        let mut of_code = false;
        let mut sum = 0;
        for line in text.lines() {
            if let Some(size) = line.strip_prefix("Rss:").filter(|_| of_code) {
                sum += size.split_whitespace().next().unwrap().parse::<u64>().unwrap();
            } else if !line.split(' ').next().unwrap().ends_with(':') {
                of_code = code_of_a_file(line).is_some();
            }
        }
        sum
    }

    #[test]
    fn code_is_run_on_when_it_was_forgotten_and_less_of_it_is_resident() {
        let before = resident();
        forget_code().unwrap();
        let after = resident();
        assert!(after < before, "{before} {after}");
    }

    #[test]
    fn only_the_code_of_files_is_forgotten() {
        let line = |rights: &str, path: &str| {
            format!("55e3c2a00000-55e3c2c00000 {rights} 00001000 fe:00 1234      {path}")
        };
        let code = 0x55e3_c2a0_0000..0x55e3_c2c0_0000;
        assert_eq!(code_of_a_file(&line("r-xp", "/usr/bin/with spaces")), Some(code));
        for (rights, path) in
            [("r--p", "/usr/bin/x"), ("rwxp", "/usr/bin/x"), ("r-xp", "[vdso]"), ("r-xp", "")]
        {
            assert_eq!(code_of_a_file(&line(rights, path)), None, "{rights} {path}");
        }
    }
}
