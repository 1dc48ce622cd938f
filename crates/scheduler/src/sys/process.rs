//! Starting a program, watching it, signalling its process group.

use super::check;
use super::timer::poll_readable;
use std::ffi::{CStr, CString, OsStr};
use std::fs::{self, File};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::ptr;

/// Everything that is needed to start a program, encoded ahead of time.
#[derive(Clone, Debug)]
pub(crate) struct SpawnPlan {
    /// The program's file.
    pub(crate) path: CString,
    /// Its arguments, its name first.
    pub(crate) arguments: Vec<CString>,
    /// Its whole environment, `NAME=value`.
    pub(crate) environment: Vec<CString>,
    /// The directory it starts in.
    pub(crate) directory: CString,
    /// Whom it runs as, where that is not ourselves.
    pub(crate) account: Option<Account>,
    /// A descriptor of ours that it gets under the same number, beside the standard streams.
    pub(crate) passed: Option<RawFd>,
}

/// A user of this machine, as needed to become that user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Account {
    /// Login name.
    pub(crate) name: String,
    /// Home directory.
    pub(crate) home: String,
    /// Login shell.
    pub(crate) shell: String,
    uid: libc::uid_t,
    gid: libc::gid_t,
    groups: Vec<libc::gid_t>,
}

/// A program that we started; the leader of its own process group.
#[derive(Debug)]
pub(crate) struct Child {
    pid: libc::pid_t,
    pidfd: OwnedFd,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Exit {
    /// With this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
}

/// Starts a program: standard input empty, standard output and error to `output`, a process group
/// of its own, all signals at their defaults and unblocked.
///
/// Without another account this is `posix_spawn`, which does not copy our page tables; with one it
/// has to be fork and exec, because only then can the child change its user.
pub(crate) fn spawn(plan: &SpawnPlan, output: &impl AsRawFd) -> io::Result<Child> {
    let pid = match &plan.account {
        None => spawn_as_ourselves(plan, output.as_raw_fd())?,
        Some(account) => spawn_as(plan, account, output.as_raw_fd())?,
    };
    // SAFETY: takes numbers only. The pid is ours and not reaped yet, so it is that child's.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd < 0 {
        let error = io::Error::last_os_error();
        // SAFETY: as above; nobody could watch this child, so it must not go on.
        unsafe {
            libc::kill(-pid, libc::SIGKILL);
            libc::waitpid(pid, ptr::null_mut(), 0);
        }
        return Err(error);
    }
    // SAFETY: the descriptor was just made and belongs to nobody else.
    Ok(Child { pid, pidfd: unsafe { OwnedFd::from_raw_fd(fd as RawFd) } })
}

impl Child {
    /// Takes the exit status if the program has ended.
    pub(crate) fn try_wait(&self) -> io::Result<Option<Exit>> {
        let mut status = 0;
        // SAFETY: `status` lives through the call; the child is ours.
        let pid = unsafe { libc::waitpid(self.pid, &raw mut status, libc::WNOHANG) };
        if check(pid)? == 0 {
            return Ok(None);
        }
        Ok(Some(if libc::WIFSIGNALED(status) {
            Exit::Signal(libc::WTERMSIG(status))
        } else {
            Exit::Status(libc::WEXITSTATUS(status))
        }))
    }

    /// Waits for the program to end, and takes its exit status.
    pub(crate) fn wait(&self) -> io::Result<Exit> {
        loop {
            poll_readable([self.as_raw_fd()], -1)?;
            if let Some(exit) = self.try_wait()? {
                return Ok(exit);
            }
        }
    }

    /// What is left of the program's process group, once [`Self::try_wait`] has returned an exit.
    pub(crate) fn rest(&self) -> Rest {
        Rest(self.pid)
    }

    /// Signals the program and what it started in its process group. Not to be called once
    /// [`Self::try_wait`] has returned an exit: the number may then be another process's.
    pub(crate) fn signal_group(&self, signal: i32) {
        // SAFETY: takes numbers only. An error means that nobody is left to be signalled.
        unsafe { libc::kill(-self.pid, signal) };
    }
}

/// What is left of the process group of a program that was waited for. Its number is not given to
/// another process as long as something is left, nor soon after.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rest(libc::pid_t);

impl Rest {
    /// Whether a process is left; one that has ended and was not waited for counts no more.
    pub(crate) fn is_there(self) -> bool {
        // SAFETY: takes numbers only, and signals nobody.
        let is_known = unsafe { libc::kill(-self.0, 0) == 0 };
        is_known && self.is_alive_by_proc().unwrap_or(true)
    }

    /// Signals all of it.
    pub(crate) fn signal(self, signal: i32) {
        // SAFETY: takes numbers only. An error means that nobody is left to be signalled.
        unsafe { libc::kill(-self.0, signal) };
    }

    fn is_alive_by_proc(self) -> io::Result<bool> {
        for entry in fs::read_dir("/proc")? {
            let path = entry?.path().join("stat");
            // Not of a process, or it has just ended.
            let Ok(stat) = fs::read_to_string(path) else { continue };
            // The name before the last parenthesis may hold anything.
            let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
            let (state, group) = (fields.next(), fields.nth(1));
            let is_ours = group.and_then(|group| group.parse().ok()) == Some(self.0);
            if is_ours && !matches!(state, Some("Z" | "X")) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl AsRawFd for Child {
    /// A descriptor that can be read once the program has ended.
    fn as_raw_fd(&self) -> RawFd {
        self.pidfd.as_raw_fd()
    }
}

/// A process that somebody else started, by a descriptor: it never comes to mean another one.
#[derive(Debug)]
pub(crate) struct Process(OwnedFd);

impl Process {
    /// Opens a process.
    pub(crate) fn open(pid: libc::pid_t) -> io::Result<Self> {
        // SAFETY: takes numbers only.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and belongs to nobody else.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }))
    }

    /// Sends it a signal; 0 only asks whether that is allowed.
    pub(crate) fn signal(&self, signal: i32) -> io::Result<()> {
        self.send(signal, ptr::null())
    }

    /// Sends it a signal with a number, which it finds in `si_value` (as after `sigqueue`).
    pub(crate) fn queue(&self, signal: i32, value: u64) -> io::Result<()> {
        // SAFETY: neither takes anything, nor can fail.
        let (pid, uid) = unsafe { (libc::getpid(), libc::getuid()) };
        let (errno, code) = (0, libc::SI_QUEUE);
        let told = Told { signal, errno, code, unused: 0, pid, uid, value, rest: [0; 12] };
        self.send(signal, &raw const told)
    }

    fn send(&self, signal: i32, told: *const Told) -> io::Result<()> {
        let fd = self.0.as_raw_fd();
        // SAFETY: `told` is null, or as long as a siginfo and alive through the call.
        let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, told, 0) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// A siginfo of a signal that was queued, as Linux lays it out where pointers have 64 bits.
#[repr(C)]
struct Told {
    signal: libc::c_int,
    errno: libc::c_int,
    code: libc::c_int,
    unused: libc::c_int,
    pid: libc::pid_t,
    uid: libc::uid_t,
    value: u64,
    rest: [u64; 12],
}

const _: () = assert!(size_of::<Told>() == size_of::<libc::siginfo_t>());
const _: () = assert!(align_of::<Told>() == align_of::<libc::siginfo_t>());

fn spawn_as_ourselves(plan: &SpawnPlan, output: RawFd) -> io::Result<libc::pid_t> {
    let arguments = pointers(&plan.arguments);
    let environment = pointers(&plan.environment);
    let actions = FileActions::new(output, plan.passed, &plan.directory)?;
    let attributes = Attributes::new()?;
    let mut pid = 0;
    // SAFETY: every pointer is to an initialised value that lives through the call, and both
    // vectors end with a null pointer.
    let code = unsafe {
        libc::posix_spawn(
            &raw mut pid,
            plan.path.as_ptr(),
            &raw const actions.0,
            &raw const attributes.0,
            arguments.as_ptr().cast(),
            environment.as_ptr().cast(),
        )
    };
    as_result(code).map(|()| pid)
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect()
}

fn as_result(code: libc::c_int) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
}

struct FileActions(libc::posix_spawn_file_actions_t);

impl FileActions {
    fn new(output: RawFd, passed: Option<RawFd>, directory: &CStr) -> io::Result<Self> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: initialises `actions`, which is used only where that succeeded.
        let mut actions = unsafe {
            as_result(libc::posix_spawn_file_actions_init(actions.as_mut_ptr()))?;
            Self(actions.assume_init())
        };
        let all = &raw mut actions.0;
        // SAFETY: `all` is initialised, and both strings end with a null octet and are copied.
        unsafe {
            let flags = libc::O_RDONLY;
            as_result(libc::posix_spawn_file_actions_addopen(all, 0, NULL.as_ptr(), flags, 0))?;
            as_result(libc::posix_spawn_file_actions_adddup2(all, output, 1))?;
            as_result(libc::posix_spawn_file_actions_adddup2(all, output, 2))?;
            if let Some(fd) = passed {
                // Onto itself: that only has it stay open in the child.
                as_result(libc::posix_spawn_file_actions_adddup2(all, fd, fd))?;
            }
            as_result(libc::posix_spawn_file_actions_addchdir_np(all, directory.as_ptr()))?;
        }
        Ok(actions)
    }
}

const NULL: &CStr = c"/dev/null";

impl Drop for FileActions {
    fn drop(&mut self) {
        // SAFETY: initialised in `new` and destroyed once.
        unsafe { libc::posix_spawn_file_actions_destroy(&raw mut self.0) };
    }
}

struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    fn new() -> io::Result<Self> {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: initialises `attributes`, which is used only where that succeeded.
        let mut attributes = unsafe {
            as_result(libc::posix_spawnattr_init(attributes.as_mut_ptr()))?;
            Self(attributes.assume_init())
        };
        let all = &raw mut attributes.0;
        let flags = libc::POSIX_SPAWN_SETPGROUP
            | libc::POSIX_SPAWN_SETSIGDEF
            | libc::POSIX_SPAWN_SETSIGMASK;
        let mut signals = MaybeUninit::uninit();
        // SAFETY: `all` is initialised; `signals` is, by the call before each use.
        unsafe {
            libc::sigfillset(signals.as_mut_ptr());
            as_result(libc::posix_spawnattr_setsigdefault(all, signals.as_ptr()))?;
            libc::sigemptyset(signals.as_mut_ptr());
            as_result(libc::posix_spawnattr_setsigmask(all, signals.as_ptr()))?;
            as_result(libc::posix_spawnattr_setpgroup(all, 0))?;
            as_result(libc::posix_spawnattr_setflags(all, flags as libc::c_short))?;
        }
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised in `new` and destroyed once.
        unsafe { libc::posix_spawnattr_destroy(&raw mut self.0) };
    }
}

fn spawn_as(plan: &SpawnPlan, account: &Account, output: RawFd) -> io::Result<libc::pid_t> {
    let mut command = Command::new(OsStr::from_bytes(plan.path.as_bytes()));
    let text = |s: &CString| OsStr::from_bytes(s.as_bytes()).to_owned();
    command.arg0(text(&plan.arguments[0])).args(plan.arguments[1..].iter().map(text));
    command.env_clear().envs(plan.environment.iter().filter_map(|pair| {
        let octets = pair.as_bytes();
        let equals = octets.iter().position(|octet| *octet == b'=')?;
        Some((OsStr::from_bytes(&octets[..equals]), OsStr::from_bytes(&octets[equals + 1..])))
    }));
    command.stdin(Stdio::null()).stdout(duplicate(output)?).stderr(duplicate(output)?);
    command.process_group(0);
    let (account, directory, passed) = (account.clone(), plan.directory.clone(), plan.passed);
    // SAFETY: between fork and exec the closure makes system calls only; it neither allocates nor
    // takes a lock. It becomes the user before it enters the directory, so that the user's rights
    // decide.
    unsafe {
        command.pre_exec(move || {
            for signal in 1..=libc::SIGRTMAX() {
                libc::signal(signal, libc::SIG_DFL);
            }
            check(libc::setgroups(account.groups.len(), account.groups.as_ptr()))?;
            check(libc::setgid(account.gid))?;
            check(libc::setuid(account.uid))?;
            check(libc::chdir(directory.as_ptr()))?;
            if let Some(fd) = passed {
                check(libc::fcntl(fd, libc::F_SETFD, 0))?;
            }
            Ok(())
        });
    }
    let child = command.spawn()?;
    Ok(child.id() as libc::pid_t)
}

fn duplicate(fd: RawFd) -> io::Result<File> {
    // SAFETY: takes numbers only.
    let copy = check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) })?;
    // SAFETY: the descriptor was just made and belongs to nobody else.
    Ok(unsafe { File::from_raw_fd(copy) })
}

/// Whether we may become another user.
pub(crate) fn effective_user_is_root() -> bool {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Looks up a user by login name; `None` if there is no such user.
pub(crate) fn account(name: &str) -> io::Result<Option<Account>> {
    const STRINGS_OCTETS_MAX: usize = 64 * 1024;
    const GROUPS_MAX: usize = 4096;
    let name_c = CString::new(name)?;
    let mut entry = MaybeUninit::<libc::passwd>::uninit();
    let mut strings = vec![0; STRINGS_OCTETS_MAX];
    let mut found = ptr::null_mut();
    // SAFETY: all pointers are to locals that live through the call, with their true lengths.
    let code = unsafe {
        libc::getpwnam_r(
            name_c.as_ptr(),
            entry.as_mut_ptr(),
            strings.as_mut_ptr(),
            strings.len(),
            &raw mut found,
        )
    };
    as_result(code)?;
    if found.is_null() {
        return Ok(None);
    }
    // SAFETY: a found entry is initialised, and its strings lie within `strings`.
    let (entry, home, shell) = unsafe {
        let entry = entry.assume_init();
        let text = |s| CStr::from_ptr(s).to_string_lossy().into_owned();
        (entry, text(entry.pw_dir), text(entry.pw_shell))
    };
    let mut groups = vec![0; GROUPS_MAX];
    let mut count = GROUPS_MAX as libc::c_int;
    // SAFETY: `groups` has room for `count` entries.
    let result = unsafe {
        libc::getgrouplist(name_c.as_ptr(), entry.pw_gid, groups.as_mut_ptr(), &raw mut count)
    };
    if result < 0 {
        return Err(io::Error::other(format!("`{name}` is in more than {GROUPS_MAX} groups")));
    }
    groups.truncate(count as usize);
    let name = name.to_owned();
    Ok(Some(Account { name, home, shell, uid: entry.pw_uid, gid: entry.pw_gid, groups }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn plan(script: &str, account: Option<Account>) -> SpawnPlan {
        SpawnPlan {
            path: c"/bin/sh".to_owned(),
            arguments: vec![c"sh".to_owned(), c"-c".to_owned(), CString::new(script).unwrap()],
            environment: vec![c"WORD=hello".to_owned()],
            directory: c"/tmp".to_owned(),
            account,
            passed: None,
        }
    }

    fn run(plan: &SpawnPlan) -> (Exit, String) {
        let (mut reader, writer) = io::pipe().unwrap();
        let child = spawn(plan, &writer).unwrap();
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(poll_readable([child.as_raw_fd()], 10_000).unwrap(), [true]);
        (child.try_wait().unwrap().unwrap(), text)
    }

    #[test]
    fn a_program_gets_its_environment_directory_group_and_default_signals() {
        let script = "echo $WORD $(pwd) $(env | wc -l); cat; \
            test $(ps -o pgid= $$) = $$ && echo leads; \
            grep -E 'Sig(Ign|Blk)' /proc/self/status | cut -c18-; echo trouble >&2; exit 3";
        let (exit, text) = run(&plan(script, None));
        assert_eq!(exit, Exit::Status(3));
        assert!(text.starts_with("hello /tmp"), "{text}");
        // glibc keeps its two internal signals (32, 33) ignored, beyond the 28 bits shown here.
        assert!(text.ends_with("leads\n0000000\n0000000\ntrouble\n"), "{text}");
        assert_eq!(run(&plan("kill -TERM $$", None)).0, Exit::Signal(libc::SIGTERM));
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error_and_leaves_no_child() {
        let missing = SpawnPlan { path: c"/nonexistent/x".to_owned(), ..plan("", None) };
        let error = spawn(&missing, &io::stdout()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let nowhere = SpawnPlan { directory: c"/nonexistent".to_owned(), ..plan("", None) };
        assert_eq!(spawn(&nowhere, &io::stdout()).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn root_can_start_a_program_as_another_user() {
        assert_eq!(account("no-such-user-here").unwrap(), None);
        if !effective_user_is_root() {
            return;
        }
        let nobody = account("nobody").unwrap().unwrap();
        let (exit, text) = run(&plan("id -un; id -Gn; echo $WORD $(pwd)", Some(nobody)));
        assert_eq!((exit, text.as_str()), (Exit::Status(0), "nobody\nnogroup\nhello /tmp\n"));
    }
}
