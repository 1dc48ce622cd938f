//! What the guest boots: Debian's kernel and an initramfs with busybox, the binary under test and a
//! shell that carries out lines of a serial port.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::Scratch;
use crate::support::peers::set_mode;

/// Drivers of the network card; the shell below tries them until all that depend on another are in.
const MODULES: [&str; 8] = [
    "drivers/virtio/virtio",
    "drivers/virtio/virtio_ring",
    "drivers/virtio/virtio_pci_legacy_dev",
    "drivers/virtio/virtio_pci_modern_dev",
    "drivers/virtio/virtio_pci",
    "net/core/failover",
    "drivers/net/net_failover",
    "drivers/net/virtio_net",
];

/// The driver of PTP clocks, as `cargo xtask guest` builds it.
const PTP_DRIVER: &str = "ptp_clock/timeball_ptp.ko";

/// The first process: brings up the machine, and goes on as systemd where there is one.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for round in 1 2 3 4; do
    for module in /modules/*.ko; do insmod $module 2>/dev/null; done
done
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
[ -x /bin/systemd ] && exec /bin/systemd
exec /bin/serial
";

/// Does what each line of the second serial port says. A line `### STATUS` ends each answer, on a
/// line of its own whatever came before.
const SERIAL: &str = "#!/bin/busybox sh
export PATH=/bin
stty -F /dev/ttyS1 raw -echo
exec </dev/ttyS1 >/dev/ttyS1 2>&1
echo \"### ready\"
while read -r line; do
    eval \"$line\"
    status=$?
    echo
    echo \"### $status\"
done
poweroff -f
";

/// What systemd starts here: the shell of the serial port, once the system is up.
const UNITS: [(&str, &str); 2] = [
    ("default.target", "[Unit]\nRequires=basic.target serial.service\nAfter=basic.target\n"),
    (
        "serial.service",
        "[Unit]\nAfter=basic.target\n[Service]\nExecStart=/bin/serial\nKillMode=process\n",
    ),
];
/// Where this machine's systemd is.
const SYSTEMD: &str = "/usr/lib/systemd";

/// What runs a guest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Init {
    /// The shell of the serial port alone.
    Shell,
    /// This machine's systemd, with its targets and none of its services.
    Systemd,
}

/// A kernel and what it starts.
pub(crate) struct Image {
    /// The kernel's file.
    pub(crate) kernel: PathBuf,
    /// The initramfs's file.
    pub(crate) initramfs: PathBuf,
}

impl Image {
    /// Puts the image together from unpacked packages, with these files (by path, without the first
    /// slash) and these programs of the packages in it.
    pub(crate) fn build(
        packages: &Path,
        scratch: &Scratch,
        files: &[(&str, &str)],
        programs: &[&str],
        init: Init,
    ) -> Self {
        let root = scratch.path().join("root");
        for directory in
            ["bin", "modules", "etc", "proc", "sys", "dev", "tmp", "run", "var/lib", "lib64"]
        {
            fs::create_dir_all(root.join(directory)).expect("a directory");
        }
        fs::copy(packages.join("bin/busybox"), root.join("bin/busybox")).expect("busybox");
        copy_with_libraries(Path::new(env!("CARGO_BIN_EXE_timeball")), packages, &root);
        for program in programs {
            copy_with_libraries(&packages.join(program), packages, &root);
        }
        fs::copy(packages.join(PTP_DRIVER), root.join("timeball_ptp.ko")).expect("the driver");
        let modules = only_entry(&packages.join("lib/modules"), "").join("kernel");
        for module in MODULES {
            let file = modules.join(format!("{module}.ko"));
            let name = file.file_name().expect("a name");
            fs::copy(&file, root.join("modules").join(name)).expect("a module of this kernel");
        }
        for (path, text) in [("init", INIT), ("bin/serial", SERIAL)] {
            put(&root, path, text);
            set_mode(&root.join(path), 0o755);
        }
        if init == Init::Systemd {
            add_systemd(packages, &root);
        }
        for (path, text) in files {
            put(&root, path, text);
        }
        let initramfs = scratch.path().join("initramfs");
        pack(packages, &root, &initramfs);
        Self { kernel: only_entry(&packages.join("boot"), "vmlinuz"), initramfs }
    }
}

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("it is in the root")).expect("a directory");
    fs::write(path, text).expect("written");
}

/// Adds this machine's systemd: what it is made of, and the targets that units name.
fn add_systemd(packages: &Path, root: &Path) {
    for program in ["/usr/lib/systemd/systemd", "/usr/bin/systemctl"] {
        copy_with_libraries(Path::new(program), packages, root);
    }
    // Since version 255 it starts everything through another program.
    let executor = Path::new(SYSTEMD).join("systemd-executor");
    if executor.exists() {
        copy_with_libraries(&executor, packages, root);
        let place = root.join("usr/lib/systemd");
        fs::create_dir_all(&place).expect("a directory");
        fs::copy(&executor, place.join("systemd-executor")).expect("copied");
    }
    for manager in ["system", "user"] {
        let place = root.join("etc/systemd").join(manager);
        fs::create_dir_all(&place).expect("a directory");
        let units = fs::read_dir(Path::new(SYSTEMD).join(manager)).expect("units of systemd");
        for unit in units.flatten().map(|entry| entry.path()) {
            if unit.extension().is_some_and(|kind| kind == "target") && unit.is_file() {
                fs::copy(&unit, place.join(unit.file_name().expect("a name"))).expect("copied");
            }
        }
    }
    for (name, text) in UNITS {
        // What is copied may be a link to elsewhere.
        put(root, &format!("etc/systemd/system/{name}"), text);
    }
    put(root, "etc/machine-id", "00112233445566778899aabbccddeeff\n");
    put(root, "etc/passwd", "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/srv/user:/bin/sh\n");
    put(root, "etc/group", "root:x:0:\nuser:x:1000:\n");
    put(root, "etc/nsswitch.conf", "passwd: files\ngroup: files\n");
}

fn only_entry(directory: &Path, prefix: &str) -> PathBuf {
    let entries = fs::read_dir(directory).expect("unpacked").flatten();
    let mut named = entries.filter(|e| e.file_name().to_string_lossy().starts_with(prefix));
    let entry = named.next().unwrap_or_else(|| panic!("{} has no {prefix}*", directory.display()));
    entry.path()
}

/// Copies a program to `/bin`, and the libraries that the loader would give it to where they are
/// here, or would be if the packages were installed.
fn copy_with_libraries(program: &Path, packages: &Path, root: &Path) {
    let name = program.file_name().expect("a name");
    fs::copy(program, root.join("bin").join(name)).expect("a program");
    let mut ldd = Command::new("ldd");
    ldd.arg(program);
    if program.starts_with(packages) {
        ldd.env("LD_LIBRARY_PATH", packages.join("usr/lib/x86_64-linux-gnu"));
    }
    let listing = ldd.output().expect("ldd starts");
    let listing = String::from_utf8(listing.stdout).expect("UTF-8");
    let libraries: BTreeSet<&str> =
        listing.split_whitespace().filter(|word| word.starts_with('/')).collect();
    assert!(!libraries.is_empty(), "ldd tells no library: {listing}");
    for library in libraries {
        let installed = Path::new(library).strip_prefix(packages);
        let to = match installed {
            Ok(place) => root.join(place),
            Err(_) => root.join(library.trim_start_matches('/')),
        };
        fs::create_dir_all(to.parent().expect("a directory")).expect("a directory");
        fs::copy(library, to).expect("a library");
    }
}

fn pack(packages: &Path, root: &Path, into: &Path) {
    let busybox = packages.join("bin/busybox");
    let script = "cd \"$2\" && \"$1\" find . | \"$1\" cpio -o -H newc >\"$3\" 2>/dev/null";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).args([&busybox, root, into]);
    assert!(shell.status().expect("sh starts").success(), "the initramfs was not packed");
}
