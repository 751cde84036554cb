//! What an `EXPLAIN` does: nothing, unless it asks for `ANALYZE`, which runs the statement inside.

use super::words::{Word, words};

/// An `EXPLAIN` taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Explained {
    /// Whether the statement inside runs. In doubt, it does.
    pub(crate) runs: bool,
    /// Where the statement inside begins.
    pub(crate) inner: usize,
}

/// Takes apart a statement whose first word is `EXPLAIN`; `None` when no statement is inside.
pub(crate) fn explained(text: &str) -> Option<Explained> {
    let mut rest = words(text).skip(1).peekable();
    let (start, next) = rest.peek().cloned()?;
    if next == Word::Symbol(b'(') && is_option_list(text, start) {
        rest.next();
        let mut runs = false;
        let mut option: Vec<Word> = Vec::new();
        loop {
            let (_, word) = rest.next()?;
            let ends = word == Word::Symbol(b')');
            if ends || word == Word::Symbol(b',') {
                runs |= asks_to_run(&option);
                option.clear();
                if ends {
                    break;
                }
            } else {
                option.push(word);
            }
        }
        return rest.next().map(|(inner, _)| Explained { runs, inner });
    }
    let mut runs = false;
    loop {
        let (inner, word) = rest.next()?;
        if word.is("analyze") || word.is("analyse") {
            runs = true;
        } else if !word.is("verbose") {
            return Some(Explained { runs, inner });
        }
    }
}

/// `EXPLAIN (SELECT 1)` has no options: PostgreSQL looks at the word after the parenthesis, too.
fn is_option_list(text: &str, open: usize) -> bool {
    let inside = words(&text[open..]).map(|(_, word)| word).find(|word| *word != Word::Symbol(b'('));
    !matches!(inside, Some(Word::Plain(word)) if matches!(word.as_str(), "select" | "values" | "with" | "table"))
}

fn asks_to_run(option: &[Word]) -> bool {
    match option.first() {
        Some(Word::Plain(name) | Word::Quoted(name)) if name == "analyze" || name == "analyse" => {
            let off = matches!(option.get(1), Some(Word::Plain(value)) if value == "false" || value == "off");
            !off
        }
        Some(Word::Plain(_) | Word::Quoted(_)) | None => false,
        // The name of the option is hidden behind escapes.
        Some(Word::Symbol(_) | Word::Opaque) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(text: &str) -> Option<(bool, &str)> {
        explained(text).map(|e| (e.runs, &text[e.inner..]))
    }

    #[test]
    fn analyze_is_seen_in_every_spelling() {
        assert_eq!(runs("explain delete from t"), Some((false, "delete from t")));
        assert_eq!(runs("explain verbose select 1"), Some((false, "select 1")));
        assert_eq!(runs("explain analyze verbose select 1"), Some((true, "select 1")));
        assert_eq!(runs("explain /* x */ ANALYSE select 1"), Some((true, "select 1")));
        assert_eq!(runs("explain (costs off, analyze) select 1"), Some((true, "select 1")));
        assert_eq!(runs("explain (\"analyze\" on) select 1"), Some((true, "select 1")));
        assert_eq!(runs("explain (U&\"analyze\") select 1"), Some((true, "select 1")));
        assert_eq!(runs("explain (analyze false) select 1"), Some((false, "select 1")));
        assert_eq!(runs("explain (analyze false, analyze 1) select 1"), Some((true, "select 1")));
        assert_eq!(runs("explain ((select 1))"), Some((false, "((select 1))")));
        assert_eq!(runs("explain analyze"), None);
        assert_eq!(runs("explain (analyze"), None);
    }
}
