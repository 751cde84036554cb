//! The list of differences that are explained.
//!
//! `differences.txt` is read when the program is built. A line is `kind | file | pattern`, below a heading
//! `# reason`. `*` in a pattern stands for anything. `differs`: there must be a difference. `varies`: there may be
//! one, because the statement does not say what it answers; the statement must be there. Case does not matter.

pub(crate) struct Explained {
    pub(crate) file: &'static str,
    pub(crate) pattern: &'static str,
    pub(crate) reason: &'static str,
    must_differ: bool,
    used: bool,
}

pub(crate) fn explained() -> Vec<Explained> {
    let mut reason = "";
    let mut found = Vec::new();
    for line in include_str!("differences.txt").lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(heading) = line.strip_prefix("# ") {
            reason = heading;
        } else if let [kind, file, pattern] = line.splitn(3, " | ").collect::<Vec<_>>()[..] {
            found.push(Explained { file, pattern, reason, must_differ: kind == "differs", used: false });
        } else {
            panic!("differences.txt: this is no line of it: {line}");
        }
    }
    found
}

/// A statement on one line.
pub(crate) fn on_one_line(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether somebody has explained why this statement differs. Takes note of which lines are of use.
pub(crate) fn explains(list: &mut [Explained], file: &str, sql: &str, differs: bool) -> Option<&'static str> {
    let sql = on_one_line(sql).to_lowercase();
    let mut reason = None;
    for line in list.iter_mut().filter(|line| line.file == "*" || line.file == file) {
        if (differs || !line.must_differ) && matches(&line.pattern.to_lowercase(), &sql) {
            line.used = true;
            reason = reason.or(Some(line.reason));
        }
    }
    reason
}

pub(crate) fn of_no_use(list: &[Explained]) -> Vec<&Explained> {
    list.iter().filter(|line| !line.used).collect()
}

/// Whether the parts of a pattern between its stars follow one another in a text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut rest = text;
    let mut parts = pattern.split('*').peekable();
    let mut first = true;
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        let at = match (first, last) {
            (true, true) => return rest == part,
            (true, false) => rest.starts_with(part).then_some(0),
            (false, true) => return rest.ends_with(part),
            (false, false) => rest.find(part),
        };
        let Some(at) = at else { return false };
        rest = &rest[at + part.len()..];
        first = false;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        assert!(matches("SELECT *", "SELECT 1;") && matches("*now()*", "SELECT now();") && matches("a", "a"));
        assert!(!matches("SELECT", "SELECT 1") && !matches("*x", "xy") && !matches("a*b*c", "acb"));
    }
}
