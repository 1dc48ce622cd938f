//! `schema`: JSON schemas of the file forms, for editors, and the OpenAPI document of the local
//! API, made from the types.
//!
//! The generator is behind the cargo feature `schema`; without it this program calls itself again
//! with it.

use crate::project::Project;
use anyhow::Result;

/// What to do with the files.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    Write,
    /// Only say whether they are current.
    Check,
}

#[cfg(not(feature = "schema"))]
pub(crate) fn run(project: &Project, mode: Mode) -> Result<bool> {
    let mut cargo = project.cargo();
    // A target directory of its own would build schemars twice; the binary's name is the same, and
    // cargo replaces it under a running program without harm.
    cargo.args(["run", "--quiet", "--package", "xtask", "--features", "schema", "--", "schema"]);
    if mode == Mode::Check {
        cargo.arg("--check");
    }
    Ok(cargo.status()?.success())
}

#[cfg(feature = "schema")]
pub(crate) fn run(project: &Project, mode: Mode) -> Result<bool> {
    use crate::steps;
    use anyhow::Context;

    let mut passed = true;
    for (path, text) in generated::files()? {
        let file = project.root.join(path);
        let current = std::fs::read_to_string(&file).is_ok_and(|there| there == text);
        match (current, mode) {
            (true, _) => steps::say(&format!("    {path} is current")),
            (false, Mode::Check) => {
                steps::say(&format!("    {path} is not what the types give"));
                passed = false;
            }
            (false, Mode::Write) => {
                let directory = file.parent().context("a file has a directory")?;
                std::fs::create_dir_all(directory)?;
                std::fs::write(&file, text).with_context(|| format!("{path} cannot be written"))?;
                steps::say(&format!("    wrote {path}"));
            }
        }
    }
    Ok(passed)
}

#[cfg(feature = "schema")]
mod generated {
    use crate::openapi;
    use anyhow::Result;
    use schemars::Schema;
    use timeball_api::calendar::{self, Calendar};
    use timeball_api::cron_job::{API_VERSION, KIND, PreciseCronJob};

    /// The generated files, each with its path from the root.
    pub(super) fn files() -> Result<Vec<(&'static str, String)>> {
        let pretty = |schema: &Schema| -> Result<String> {
            Ok(format!("{}\n", serde_json::to_string_pretty(schema)?))
        };
        Ok(vec![
            ("docs/schemas/precisecronjob.schema.json", pretty(&precise_cron_job())?),
            ("docs/schemas/calendar.schema.json", pretty(&calendar())?),
            ("docs/schemas/openapi.json", format!("{:#}\n", openapi::document()?)),
        ])
    }

    fn precise_cron_job() -> Schema {
        of_kind(schemars::schema_for!(PreciseCronJob), KIND)
    }

    fn calendar() -> Schema {
        of_kind(schemars::schema_for!(Calendar), calendar::KIND)
    }

    fn of_kind(mut schema: Schema, kind: &str) -> Schema {
        // The types take any text here and the loader refuses it; an editor should say so at once.
        pin(&mut schema, "/properties/apiVersion", API_VERSION);
        pin(&mut schema, "/properties/kind", kind);
        schema
    }

    fn pin(schema: &mut Schema, pointer: &str, value: &str) {
        if let Some(property) = schema.pointer_mut(pointer).and_then(|found| found.as_object_mut())
        {
            property.insert("const".to_owned(), value.into());
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_schema_knows_its_kind_and_refuses_unknown_fields() {
            for (schema, kind) in [(precise_cron_job(), KIND), (calendar(), calendar::KIND)] {
                assert_eq!(schema.pointer("/properties/kind/const"), Some(&kind.into()));
                assert_eq!(schema.pointer("/additionalProperties"), Some(&false.into()));
            }
        }
    }
}
