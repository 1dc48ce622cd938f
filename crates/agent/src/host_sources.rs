//! Which time servers this host is configured to use already, by whatever daemon.

mod files;

use std::path::{Path, PathBuf};

use timeball_ntp::engine::{PollRange, SourceConfig, SourceOptions};

use crate::address::HostPort;
use crate::config::SOURCES_MAX;

/// Sources taken from one `pool` line: one name with several addresses behind it.
const POOL_SOURCES: usize = 4;
/// Used where the host names no server at all.
const DEFAULT_SOURCES: [&str; 4] =
    ["0.pool.ntp.org", "1.pool.ntp.org", "2.pool.ntp.org", "3.pool.ntp.org"];

/// The time servers of a host.
#[derive(Clone, Debug, PartialEq)]
pub struct HostSources {
    /// The servers, at least one. A `pool` stands here several times under one name, since the
    /// engine takes another of its addresses each time.
    pub sources: Vec<SourceConfig>,
    /// The file of the daemon that names them; `None` where no file names any and the sources are
    /// `0.pool.ntp.org` to `3.pool.ntp.org`.
    pub file: Option<PathBuf>,
    /// Who names them, in words: `from /etc/chrony.conf`, or that it is the default.
    pub origin: String,
}

/// Finds the servers that the files under `root` (normally `/`) name: those of chrony, else of
/// ntpsec or ntpd, else of systemd-timesyncd, else the public pool. Lines that make no sense are
/// skipped.
pub fn host_sources(root: &Path) -> HostSources {
    let readers: [(&str, Reader); 5] = [
        ("etc/chrony/chrony.conf", files::chrony),
        ("etc/chrony.conf", files::chrony),
        ("etc/ntpsec/ntp.conf", files::ntp),
        ("etc/ntp.conf", files::ntp),
        ("etc/systemd/timesyncd.conf", files::timesyncd),
    ];
    for (path, read) in readers {
        let file = root.join(path);
        let sources = sources(read(root, &file));
        if !sources.is_empty() {
            let origin = format!("from {}", file.display());
            return HostSources { sources, file: Some(file), origin };
        }
    }
    let defaults = DEFAULT_SOURCES.map(|host| Line::server(host.to_owned()));
    let origin = "the public pool: no file on this host names any".to_owned();
    HostSources { sources: sources(defaults.into()), file: None, origin }
}

/// Reads the servers of one daemon's file below a root.
type Reader = fn(&Path, &Path) -> Vec<Line>;

/// One server or pool as a file names it.
#[derive(Clone, Debug, PartialEq)]
struct Line {
    address: String,
    port: Option<u16>,
    is_pool: bool,
    poll: PollRange,
    options: SourceOptions,
}

impl Line {
    fn server(address: String) -> Self {
        Self {
            address,
            port: None,
            is_pool: false,
            poll: PollRange::default(),
            options: SourceOptions::default(),
        }
    }
}

fn sources(lines: Vec<Line>) -> Vec<SourceConfig> {
    let mut seen = Vec::new();
    let mut sources = Vec::new();
    for line in lines {
        let Ok(HostPort { host, port }) = line.address.parse() else {
            tracing::debug!(address = line.address, "a time server's name is not understood");
            continue;
        };
        let port = line.port.unwrap_or(port);
        let key = (host.to_ascii_lowercase(), port);
        // The same twice could outvote others.
        if seen.contains(&key) {
            continue;
        }
        seen.push(key);
        let Line { is_pool, poll, options, .. } = line;
        let count = if is_pool { POOL_SOURCES } else { 1 };
        let source = SourceConfig { poll, options, ..SourceConfig::new(host, port) };
        sources.extend(std::iter::repeat_n(source, count));
    }
    sources.truncate(SOURCES_MAX);
    sources
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn hosts(found: &HostSources) -> Vec<&str> {
        found.sources.iter().map(|source| source.host.as_str()).collect()
    }

    #[test]
    fn chrony_with_its_directories_comes_first() {
        let root = root(&[
            (
                "etc/chrony/chrony.conf",
                "# a comment\nconfdir /etc/chrony/conf.d\nsourcedir /etc/chrony/sources.d\n\
                 server a.example iburst minpoll 4 maxpoll 6 prefer\n\
                 ! pool commented.example\nserver 10.0.0.1 port 1123 noselect\nserver a b|c\n\
                 pool p.example maxsources 3\n",
            ),
            ("etc/chrony/conf.d/x.conf", "server b.example\n"),
            ("etc/chrony/conf.d/x.txt", "server not.example\n"),
            ("etc/chrony/sources.d/y.sources", "server c.example\n"),
            ("etc/ntp.conf", "server d.example\n"),
        ]);
        let found = host_sources(root.path());
        let p = "p.example";
        assert_eq!(
            hosts(&found),
            ["b.example", "c.example", "a.example", "10.0.0.1", "a", p, p, p, p]
        );
        assert_eq!(found.sources[2].poll, PollRange { min: 4, max: 6 });
        assert!(found.sources[2].options.prefer);
        assert_eq!(found.sources[3].port, 1_123);
        assert!(found.sources[3].options.noselect);
        assert_eq!(found.file, Some(root.path().join("etc/chrony/chrony.conf")));
    }

    #[test]
    fn a_file_that_includes_itself_is_read_to_an_end() {
        let text = "include /etc/chrony.conf\nserver a.example\n";
        let root = root(&[("etc/chrony.conf", text)]);
        assert_eq!(hosts(&host_sources(root.path())), ["a.example"]);
    }

    #[test]
    fn reference_clocks_of_ntpd_are_no_servers() {
        let text = "server 127.127.28.0\nserver -4 a.example iburst\npool b.example\n";
        let root = root(&[("etc/ntpsec/ntp.conf", text)]);
        let found = host_sources(root.path());
        assert_eq!(found.sources[0].host, "a.example");
        assert_eq!(found.sources.len(), 1 + POOL_SOURCES);
    }

    #[test]
    fn drop_ins_of_timesyncd_add_and_an_empty_line_resets() {
        let root = root(&[
            ("etc/systemd/timesyncd.conf", "[Time]\nNTP=a.example b.example\n#NTP=c.example\n"),
            ("etc/systemd/timesyncd.conf.d/10.conf", "[Time]\nNTP=\nNTP=d.example\n"),
            ("etc/systemd/timesyncd.conf.d/20.conf", "[Other]\nNTP=e.example\n"),
        ]);
        assert_eq!(hosts(&host_sources(root.path())), ["d.example"]);
    }

    #[test]
    fn a_host_that_names_nobody_gets_the_public_pool() {
        let root = root(&[("etc/systemd/timesyncd.conf", "[Time]\n#NTP=\n")]);
        let found = host_sources(root.path());
        assert_eq!(hosts(&found), DEFAULT_SOURCES);
        assert_eq!(found.file, None);
    }
}
