//! Time services of clouds by their names, and which servers are known to smear leap seconds.

use timeball_ntp::engine::{PollRange, SourceConfig, SourceOptions};

/// The names of the presets.
pub const PRESETS: &[&str] = &["aws", "google", "azure"];

/// Names and addresses of services that smear leap seconds from noon to noon, by their operators'
/// word: Amazon's and Google's on their machines and in public, and Meta's.
const SMEARING: &[&str] = &[
    "169.254.169.123",
    "fd00:ec2::123",
    "time.aws.com",
    "169.254.169.254",
    "metadata.google.internal",
    "time.google.com",
    "time.facebook.com",
];

/// The source that a preset means; `None` where there is no such preset.
///
/// * `aws`: the Amazon Time Sync Service at 169.254.169.123, asked every 16 s as Amazon advises; it
///   smears.
/// * `google`: the server of Google Compute Engine, `metadata.google.internal`; it smears.
/// * `azure`: `time.windows.com`, which does not smear.
pub fn preset(name: &str) -> Option<SourceConfig> {
    let often = PollRange { min: 4, max: 4 };
    let usual = PollRange::default();
    let (host, poll) = match name {
        "aws" => ("169.254.169.123", often),
        "google" => ("metadata.google.internal", usual),
        "azure" => ("time.windows.com", usual),
        _ => return None,
    };
    let options = SourceOptions { prefer: true, ..SourceOptions::default() };
    Some(SourceConfig { poll, options, ..SourceConfig::new(host.to_owned(), 123) })
}

/// Whether a server of this name is known to smear leap seconds; Google's and Meta's numbered ones
/// (`time3.google.com`) are, too.
pub(crate) fn smears(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let host = host.trim_end_matches('.');
    let unnumbered = host.strip_prefix("time").and_then(|rest| {
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        rest.starts_with('.').then(|| format!("time{rest}"))
    });
    SMEARING.contains(&host) || unnumbered.is_some_and(|host| SMEARING.contains(&host.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_names_a_source() {
        for name in PRESETS {
            let source = preset(name).expect("it is listed");
            assert!(source.options.prefer && source.port == 123, "{name}");
        }
        assert_eq!(preset("AWS"), None);
    }

    #[test]
    fn services_that_smear_are_known_by_name() {
        for host in ["time.google.com", "TIME4.google.com.", "169.254.169.123", "time.aws.com"] {
            assert!(smears(host), "{host}");
        }
        for host in ["time.windows.com", "pool.ntp.org", "timex.google.com", "time", ""] {
            assert!(!smears(host), "{host}");
        }
    }
}
