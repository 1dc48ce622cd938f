//! The system's zone database, read as octets for the schedule language.

use crate::stamp::{Stamp, Stamped};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use thiserror::Error;
use timeball_schedule::language::{Zone, ZoneError};

/// Where systems keep their zones, in the order of search.
const DIRECTORIES: [&str; 3] = ["/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/etc/zoneinfo"];

/// What a database of zones says of itself: a new release has others.
const RELEASE: [&str; 2] = ["+VERSION", "tzdata.zi"];

/// Zones that were read; each is read once.
pub struct Zones {
    directories: Vec<PathBuf>,
    read: BTreeMap<String, Zone>,
    /// Names for suggestions; listed once, and only where one is asked for.
    names: Vec<String>,
    /// Every file that was looked for, as it was then.
    files: BTreeMap<PathBuf, Stamp>,
}

/// Why a zone cannot be had.
#[derive(Debug, Error)]
pub enum ZonesError {
    /// No file of that name.
    #[error(
        "unknown time zone `{name}`{}", 
        near.as_ref().map_or_else(
            || "; use a name of the IANA database, such as `Europe/Berlin`".to_owned(),
            |near| format!("; did you mean `{near}`?"),
        )
    )]
    Unknown {
        /// The name.
        name: String,
        /// A zone whose name is like it.
        near: Option<String>,
    },
    /// There is no database on this machine.
    #[error(
        "time zone `{name}` is needed, but this machine has no zone database; install the package \
         `tzdata`, or use `Etc/UTC`"
    )]
    NoDatabase {
        /// The name.
        name: String,
    },
    /// Its file makes no sense.
    #[error(transparent)]
    Invalid(#[from] ZoneError),
}

impl Zones {
    /// Makes an empty collection over this machine's database (`TZDIR`, or the usual places).
    pub fn new() -> Self {
        let own = std::env::var_os("TZDIR").map(PathBuf::from);
        let usual = DIRECTORIES.iter().map(PathBuf::from);
        let directories = own.into_iter().chain(usual).collect();
        let (read, names, files) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        Self { directories, read, names, files }
    }

    /// The zone of that IANA name. `UTC` and `Etc/UTC` are known without a database.
    ///
    /// # Errors
    /// Where there is no such zone, or its file cannot be understood.
    pub fn zone(&mut self, name: &str) -> Result<Zone, ZonesError> {
        if matches!(name, "UTC" | "Etc/UTC") {
            return Ok(Zone::utc());
        }
        if let Some(zone) = self.read.get(name) {
            return Ok(zone.clone());
        }
        // A name must not lead out of the database.
        let sound = !name.is_empty()
            && name.split('/').all(|part| !part.is_empty() && !part.starts_with('.'))
            && name.bytes().all(|c| c.is_ascii_alphanumeric() || b"/_-+".contains(&c));
        let octets = if sound { self.find(name) } else { None };
        let Some(octets) = octets else { return Err(self.unknown(name)) };
        let zone = Zone::from_tzif(name, &octets)?;
        self.read.insert(name.to_owned(), zone.clone());
        Ok(zone)
    }

    /// The files that the zones came from, and those that were not there, as they were before they
    /// were read.
    pub(crate) fn files(&self) -> Stamped {
        self.files.iter().map(|(path, stamp)| (path.clone(), *stamp)).collect()
    }

    /// What the file of that name holds, in the first directory that has one.
    fn find(&mut self, name: &str) -> Option<Vec<u8>> {
        self.directories.iter().find_map(|directory| {
            for file in RELEASE.iter().chain([&name]).map(|file| directory.join(file)) {
                let stamp = Stamp::of(&file);
                self.files.entry(file).or_insert(stamp);
            }
            fs::read(directory.join(name)).ok()
        })
    }

    fn unknown(&mut self, name: &str) -> ZonesError {
        let name = name.to_owned();
        let Some(database) = self.directories.iter().find(|directory| directory.is_dir()) else {
            return ZonesError::NoDatabase { name };
        };
        if self.names.is_empty() {
            self.names = zones_in(database);
        }
        ZonesError::Unknown { near: near(&self.names, &name), name }
    }
}

impl Default for Zones {
    fn default() -> Self {
        Self::new()
    }
}

/// The names of a database's zones that lie in a region, as `Europe/Berlin`, and `UTC`.
fn zones_in(database: &Path) -> Vec<String> {
    let mut names = vec!["UTC".to_owned()];
    for region in names_in(database) {
        let below = names_in(&database.join(&region));
        names.extend(below.into_iter().map(|city| format!("{region}/{city}")));
    }
    names
}

/// A zone with a name like `name`: in its region, or that region's name mistyped.
fn near(names: &[String], name: &str) -> Option<String> {
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    let of_that_city = || {
        let city = known.iter().find(|known| known.rsplit('/').next() == Some(name));
        city.map(|known| (*known).to_owned())
    };
    timeball_runtime::nearest(name, &known).map(str::to_owned).or_else(of_that_city)
}

/// Names in a directory of the database; of those that are upper case, which zones and regions are.
fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> =
        names.filter(|name| name.starts_with(|c: char| c.is_ascii_uppercase())).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_found_by_name_and_nothing_else_is() {
        let mut zones = Zones::new();
        assert_eq!(zones.zone("Europe/Berlin").unwrap().name(), "Europe/Berlin");
        assert_eq!(zones.zone("UTC").unwrap(), Zone::utc());
        for name in ["", "/etc/passwd", "../../../etc/passwd", "Europe/../../passwd", "Europe/"] {
            assert!(matches!(zones.zone(name), Err(ZonesError::Unknown { .. })), "{name}");
        }
    }

    #[test]
    fn an_unknown_zone_comes_with_a_suggestion() {
        let mut zones = Zones::new();
        let message = |name: &str, zones: &mut Zones| zones.zone(name).unwrap_err().to_string();
        let mistyped = message("Europe/Berln", &mut zones);
        assert_eq!(mistyped, "unknown time zone `Europe/Berln`; did you mean `Europe/Berlin`?");
        let city = message("Tokyo", &mut zones);
        assert_eq!(city, "unknown time zone `Tokyo`; did you mean `Asia/Tokyo`?");
        let small = message("utc", &mut zones);
        assert_eq!(small, "unknown time zone `utc`; did you mean `UTC`?");
        let mut nowhere = Zones::new();
        nowhere.directories = vec!["/nonexistent".into()];
        assert!(message("Asia/Tokyo", &mut nowhere).contains("install the package `tzdata`"));
    }
}
