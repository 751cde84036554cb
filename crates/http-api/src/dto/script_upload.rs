//! A script as an uploaded file.

use actix_web::web::Bytes;
use chrono::{DateTime, Utc};
use domain::services::Submit;
use utoipa::ToSchema;

use super::request_input::SubmitBody;
use crate::error::{FieldProblem, Problem};
use crate::multipart::Part;

/// Longest name of a file that is kept.
const MAX_FILENAME_BYTES: usize = 255;

/// The fields, as they are told where one is unknown.
const FIELDS: [&str; 7] =
    ["file", "instanceId", "databaseName", "podId", "comments", "notBefore", "extendedJson"];

/// A form with a script. A field with nothing in it is as good as left out.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "only described")]
pub(crate) struct UploadForm {
    /// The script: a file whose name ends in `.js`, UTF-8, at most 2 MiB. The name is kept to be shown.
    #[schema(value_type = String, format = Binary)]
    file: Bytes,
    /// One of GET /api/instances.
    #[schema(example = "shop")]
    instance_id: String,
    /// One of GET /api/instances/{id}/dbs.
    #[schema(example = "shop")]
    database_name: String,
    /// Your own POD when left out.
    pod_id: Option<String>,
    /// For the approver: why, and what for. At most 2,000 characters.
    comments: Option<String>,
    /// Not to be executed before this moment.
    not_before: Option<DateTime<Utc>>,
    /// For mongodb instances: how documents are written in the result. `relaxed` (the default) or `canonical`.
    extended_json: Option<String>,
}

/// The parts of such a form, sorted, and what is wrong with them.
#[derive(Default)]
struct Upload {
    file: Option<(String, String)>,
    texts: [Option<String>; FIELDS.len()],
    faults: Vec<FieldProblem>,
}

/// Makes a submission of a form, or tells everything that is wrong with it at once.
pub(crate) fn into_submit(parts: Vec<Part>) -> Result<Submit, Problem> {
    let mut upload = Upload::default();
    let mut seen = [false; FIELDS.len()];
    for part in parts {
        match FIELDS.iter().position(|field| *field == part.name) {
            None => upload
                .refuse(&shortened(&part.name), &format!("is no field; there are {}", FIELDS.join(", "))),
            Some(index) if std::mem::replace(&mut seen[index], true) => {
                upload.refuse(FIELDS[index], "must be sent once only");
            }
            Some(0) => upload.take_file(&part),
            Some(index) => upload.take_text(index, &part),
        }
    }
    for (field, _) in FIELDS.iter().zip(seen).take(3).filter(|(_, seen)| !seen) {
        upload.refuse(field, "is needed");
    }
    upload.into_submit()
}

impl Upload {
    fn refuse(&mut self, field: &str, message: &str) {
        self.faults.push(FieldProblem::new(field, message));
    }

    fn take_file(&mut self, part: &Part) {
        let name = part.filename.as_deref().map_or(Err(NAME), script_name);
        match (name, std::str::from_utf8(&part.content)) {
            (Ok(name), Ok(text)) => self.file = Some((name, text.to_owned())),
            (Err(message), _) => self.refuse("file", message),
            (Ok(_), Err(error)) => {
                let place = error.valid_up_to();
                self.refuse("file", &format!("must be UTF-8, and is not from byte {place} on"));
            }
        }
    }

    fn take_text(&mut self, index: usize, part: &Part) {
        match std::str::from_utf8(&part.content) {
            Ok(text) => self.texts[index] = Some(text.to_owned()).filter(|text| !text.is_empty()),
            Err(_) => self.refuse(FIELDS[index], "must be UTF-8"),
        }
    }

    fn into_submit(mut self) -> Result<Submit, Problem> {
        let [_, instance_id, database_name, pod_id, comments, not_before, extended_json] =
            std::mem::take(&mut self.texts);
        let not_before = not_before.map(|text| text.trim().parse::<DateTime<Utc>>()).transpose();
        if not_before.is_err() {
            self.refuse("notBefore", "must be a time as in 2026-01-31T12:00:00Z");
        }
        let (filename, query_content) = self.file.take().unzip();
        let body = SubmitBody {
            instance_id: instance_id.unwrap_or_default(),
            database_name: database_name.unwrap_or_default(),
            pod_id,
            submission_type: Some("script".to_owned()),
            query_content: query_content.unwrap_or_default(),
            comments,
            not_before: not_before.unwrap_or_default(),
            extended_json,
        };
        let submit = match body.into_submit() {
            Ok(submit) => Some(submit),
            Err(problem) => {
                for fault in problem.about_file().into_errors() {
                    // What was not there, or not readable, is not told to be empty as well.
                    if self.faults.iter().all(|known| known.field != fault.field) {
                        self.faults.push(fault);
                    }
                }
                None
            }
        };
        match submit {
            Some(submit) if self.faults.is_empty() => Ok(Submit { filename, ..submit }),
            Some(_) | None => Err(Problem::validation(self.faults)),
        }
    }
}

const NAME: &str = "must be sent as a file with a name that ends in .js";

/// The name of a file as it is kept: what comes behind the last slash of either kind. It is shown to people and never
/// used to open anything.
fn script_name(sent: &str) -> Result<String, &'static str> {
    let name = sent.rsplit(['/', '\\']).next().unwrap_or_default();
    if name.len() > MAX_FILENAME_BYTES {
        return Err("must have a name of at most 255 bytes");
    }
    if name.chars().any(is_treacherous) {
        return Err("must have a name without control characters and without invisible ones");
    }
    let stem = name.len().checked_sub(".js".len()).and_then(|end| name.split_at_checked(end));
    match stem {
        Some((stem, extension)) if !stem.trim().is_empty() && extension.eq_ignore_ascii_case(".js") => {
            Ok(name.to_owned())
        }
        Some(_) | None => Err(NAME),
    }
}

/// Characters that make a name look like another one, or a list of names look broken.
fn is_treacherous(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// The beginning of a name that nobody gave a limit.
fn shortened(name: &str) -> String {
    name.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_path_the_name_is_kept() {
        for (sent, kept) in [
            ("fix.js", "fix.js"),
            ("FIX.JS", "FIX.JS"),
            ("/etc/passwd.js", "passwd.js"),
            ("..\\..\\windows\\a b.js", "a b.js"),
            ("C:\\fakepath\\größe 🦀.js", "größe 🦀.js"),
            ("a/b\\c/../d.min.js", "d.min.js"),
            ("\"quoted\";x=.js", "\"quoted\";x=.js"),
        ] {
            assert_eq!(script_name(sent).as_deref(), Ok(kept), "{sent}");
        }
        let longest = format!("{}.js", "é".repeat(126));
        assert_eq!(longest.len(), MAX_FILENAME_BYTES);
        assert_eq!(script_name(&format!("/tmp/{longest}")), Ok(longest.clone()));
        assert!(script_name(&format!("x{longest}")).is_err());
    }

    #[test]
    fn a_name_that_is_none_or_hides_something_is_refused() {
        for sent in [
            "",
            ".js",
            " .js",
            "js",
            "fix",
            "fix.ts",
            "fix.js ",
            "fix.js/",
            "fix.js.exe",
            "é",
            "..",
            "fix.js\0",
            "a\nb.js",
            "a\rb.js",
            "a\u{7f}.js",
            "a\u{85}.js",
            "sj.exe\u{202e}.js",
            "a\u{200b}.js",
            "a\u{2028}.js",
            "a\u{2066}.js",
            "\u{feff}a.js",
            "a\u{e0041}.js",
            "a\u{ad}.js",
        ] {
            assert!(script_name(sent).is_err(), "{sent:?}");
        }
    }
}
