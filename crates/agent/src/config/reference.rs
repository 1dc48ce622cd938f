//! Sources that are read rather than asked: `phc`, `shm` and `sock`.

use timeball_ntp::engine::{
    PollRange, ReferenceClock, ReferenceDevice, SourceConfig, SourceOptions,
};
use timeball_timebase::Span;

use super::document::{Table, Value};
use super::error::{ConfigError, Problem};
use super::{refuse, with_options};

/// The keys that only such a source has.
pub(super) const KEYS: &[&str] = &["error_s", "offset_s", "delay_s", "tai_offset_s", "refid"];
/// What a clock may promise to be off by, be corrected by, and take to be read.
const ERROR_MAX: Span = Span::from_secs(10);
const DELAY_MAX: Span = Span::from_secs(1);
/// TAI − UTC grows by some seconds in a decade; the GPS and other time scales lie within.
const AHEAD_S_MAX: i64 = 1_000;
/// Readings a second apart: they cost next to nothing.
const POLL: PollRange = PollRange { min: 0, max: 0 };
/// Permissions of a shared segment that we make: whoever may write it, may set the clock.
const SHARED_MODE: u32 = 0o600;
/// Octets of the longest path of a UNIX socket.
const SOCKET_PATH_MAX: usize = 107;

/// Reads the source: `value` is that of its `kind`, one of `phc`, `shm` and `sock`.
pub(super) fn read(
    table: &Table<'_>,
    kind: &'static str,
    value: &Value<'_>,
) -> Result<SourceConfig, ConfigError> {
    refuse(table, &["count", "iburst", "burst", "interleaved", "key"])?;
    if kind != "phc" {
        refuse(table, &["tai_offset_s"])?;
    }
    let (host, device, default_id) = match kind {
        "phc" => {
            let (path, ahead) = (path(value)?, read_ahead(table)?);
            (path.clone(), ReferenceDevice::Phc { path, ahead }, *b"PHC\0")
        }
        "shm" => {
            let unit = u8::try_from(value.integer(0..=255)?).expect("the range was checked");
            let device = ReferenceDevice::SharedMemory { unit, mode: SHARED_MODE };
            (format!("shm:{unit}"), device, *b"SHM\0")
        }
        _ => {
            let path = path(value)?;
            if path.len() > SOCKET_PATH_MAX {
                let (count, max) = (path.len(), SOCKET_PATH_MAX);
                return Err(value.error(Problem::PathTooLong { count, max }));
            }
            (path.clone(), ReferenceDevice::Socket { path }, *b"SOCK")
        }
    };
    let reference = ReferenceClock {
        device,
        error: table.required("error_s", "error_s = 0.0001")?.seconds(ERROR_MAX)?,
        offset: span(table, "offset_s", -ERROR_MAX)?,
        delay: span(table, "delay_s", Span::ZERO)?.min(DELAY_MAX),
        reference_id: table.value("refid").map_or(Ok(default_id), |refid| read_id(&refid))?,
    };
    let options = SourceOptions { iburst: false, ..SourceOptions::default() };
    let source =
        SourceConfig { host, port: 0, poll: POLL, options, key: None, reference: Some(reference) };
    with_options(table, source)
}

fn path(value: &Value<'_>) -> Result<String, ConfigError> {
    super::read_path(value)?;
    value.string().map(str::to_owned)
}

fn read_ahead(table: &Table<'_>) -> Result<Span, ConfigError> {
    let Some(value) = table.value("tai_offset_s") else { return Ok(Span::ZERO) };
    value.integer(-AHEAD_S_MAX..=AHEAD_S_MAX).map(Span::from_secs)
}

fn span(table: &Table<'_>, key: &str, least: Span) -> Result<Span, ConfigError> {
    let most = if least < Span::ZERO { ERROR_MAX } else { DELAY_MAX };
    table.value(key).map_or(Ok(Span::ZERO), |value| value.span(least, most))
}

fn read_id(value: &Value<'_>) -> Result<[u8; 4], ConfigError> {
    let text = value.string()?;
    let mut id = [0; 4];
    if text.is_empty() || text.len() > id.len() || !text.bytes().all(|c| c.is_ascii_graphic()) {
        return Err(value.error(Problem::ReferenceId { value: text.to_owned() }));
    }
    id[..text.len()].copy_from_slice(text.as_bytes());
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AgentConfig;

    fn sources(text: &str) -> Result<Vec<SourceConfig>, ConfigError> {
        AgentConfig::parse(text, "timeball.toml").map(|config| config.sources)
    }

    #[test]
    fn each_kind_of_reference_clock_is_read() {
        let sources = sources(
            r#"
            [[source]]
            phc = "/dev/ptp0"
            tai_offset_s = 37
            error_s = 0.000001
            prefer = true
            [[source]]
            shm = 2
            error_s = 0.01
            offset_s = -0.0015
            delay_s = 0.002
            refid = "GPS"
            poll = { min = 2, max = 4 }
            [[source]]
            sock = "/run/timeball/gps.sock"
            error_s = 1
            "#,
        )
        .unwrap();
        let reference = |i: usize| sources[i].reference.clone().unwrap();
        let phc = reference(0);
        let (path, ahead) = ("/dev/ptp0".to_owned(), Span::from_secs(37));
        assert_eq!(phc.device, ReferenceDevice::Phc { path, ahead });
        assert_eq!((phc.error, phc.reference_id), (Span::from_micros(1), *b"PHC\0"));
        assert!(sources[0].options.prefer && !sources[0].options.iburst);
        assert_eq!((sources[0].poll, sources[1].poll), (POLL, PollRange { min: 2, max: 4 }));
        let shm = reference(1);
        assert_eq!(shm.device, ReferenceDevice::SharedMemory { unit: 2, mode: SHARED_MODE });
        assert_eq!((shm.offset, shm.delay), (Span::from_micros(-1_500), Span::from_millis(2)));
        assert_eq!((shm.reference_id, sources[1].host.as_str()), (*b"GPS\0", "shm:2"));
        assert_eq!(reference(2).error, Span::from_secs(1));
    }

    #[test]
    fn each_mistake_of_a_reference_clock_is_named_with_the_fix() {
        for (text, expected) in [
            ("shm = 0", "source[0]: `error_s` is missing; add for example `error_s = 0.0001`"),
            ("shm = 256", "source[0].shm: 256 is out of range; write a number from 0 to 255"),
            ("shm = 0\nerror_s = 0", "source[0].error_s: 0 is out of range"),
            ("phc = \"ptp0\"", "source[0].phc: `\"ptp0\"` is not absolute"),
            (
                "phc = \"/dev/ptp0\"\nshm = 1",
                "a source is one thing, and `phc` is given already; remove `shm`",
            ),
            (
                "shm = 1\nerror_s = 1\naddress = \"a\"",
                "source[0].shm: a source is one thing, and `address` is given already; remove `shm`",
            ),
            ("address = \"a\"\nerror_s = 1", "`error_s` means nothing for this kind of source"),
            ("shm = 1\ntai_offset_s = 37", "`tai_offset_s` means nothing for this kind"),
            (
                "shm = 1\nerror_s = 1\niburst = true",
                "`iburst` means nothing for this kind of source",
            ),
            ("shm = 1\nerror_s = 1\nrefid = \"GPSDO\"", "`GPSDO` is no reference identifier"),
            ("shm = 1\nerror_s = 1\ndelay_s = -1", "source[0].delay_s: -1 is out of range"),
            (
                "shm = 1\nerror_s = 1\n[[source]]\nshm = 1\nerror_s = 1",
                "source[1].shm: `shm:1` is given twice",
            ),
        ] {
            let error = sources(&format!("[[source]]\n{text}")).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}\n  gave {error}\n  not  {expected}");
        }
        let long = format!("[[source]]\nsock = \"/{}\"", "x".repeat(107));
        assert!(sources(&long).unwrap_err().to_string().contains("108 octets, but at most 107"));
    }
}
