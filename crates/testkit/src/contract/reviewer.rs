//! `SubmissionReviewer`, as far as every engine has to do the same.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::ports::{ScriptCheckError, SubmissionReviewer};
use domain::request::{Submission, SubmissionKind};
use domain::review::{Effect, Position, Refusal, Review, Scope};
use domain::target::Admits;
use domain::text::SubmissionText;

use super::ready;

/// A text of one statement or command that every engine has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sample {
    Reads,
    Writes,
    /// Changes what there is rather than what is in it, for example `CREATE TABLE`.
    Administers,
    /// May never run, whatever the target.
    Refused,
}

/// A reviewer, and texts for its engine.
pub trait ReviewerHarness: Send + Sync {
    fn reviewer(&self) -> Arc<dyn SubmissionReviewer>;

    /// With the commands that the text comes to, where the engine has such.
    fn submission(&self, sample: Sample) -> Submission;
}

type Harness = Arc<dyn ReviewerHarness>;

/// A target that accepts nothing that not every target does, and no database yet.
fn scope(read_only: bool) -> Scope {
    Scope { database: None, read_only, admits: Admits::default() }
}

async fn review(h: &Harness, sample: Sample, read_only: bool) -> Result<Review, Refusal> {
    h.reviewer().review(&h.submission(sample), &scope(read_only)).await
}

/// A code for programs, a sentence for people, and a place that is in the text.
fn assert_says(text: &str, code: &str, message: &str, position: Option<Position>) {
    assert!(!code.is_empty() && !code.contains(char::is_whitespace), "{code:?}");
    assert!(!message.trim().is_empty(), "{code}");
    assert!(message.len() < 10_000, "{code} says {} bytes", message.len());
    if let Some(Position { line, column }) = position {
        let line = text.split('\n').nth(line as usize - 1).expect("the line is in the text");
        assert!((1..=line.chars().count() + 1).contains(&(column as usize)), "{code} at {column}");
    }
}

fn assert_sound(text: &str, read_only: bool, outcome: &Result<Review, Refusal>) {
    match outcome {
        Ok(review) => {
            assert!(!read_only || review.effect == Effect::Read, "{review:?}");
            for finding in &review.findings {
                assert_says(text, &finding.code, &finding.message, finding.position);
            }
        }
        Err(refusal) => assert_says(text, &refusal.code, &refusal.message, refusal.position),
    }
}

/// The most that a look at any text may take.
const LONGEST: Duration = Duration::from_secs(30);

/// Reviews a text that nobody would write in good faith, and the commands that it comes to, and looks at the verdicts.
async fn survives(h: &Harness, text: &str) {
    let parsed = SubmissionText::parse(text).expect("it is a submission's text");
    let of_kind = |kind| Submission { kind, text: parsed.clone(), filename: None, compiled: vec![] };
    verdicts_are_sound(h, &of_kind(SubmissionKind::Query)).await;
    verdicts_are_sound(h, &of_kind(SubmissionKind::Script)).await;
    let begin = Instant::now();
    let compiled = h.reviewer().compile(&parsed, None).await;
    assert!(begin.elapsed() < LONGEST, "{:?} for {text:.80?}", begin.elapsed());
    match compiled {
        Ok(commands) if commands.is_empty() => {}
        Ok(compiled) => {
            let submission = Submission { compiled, ..of_kind(SubmissionKind::Query) };
            verdicts_are_sound(h, &submission).await;
        }
        Err(ScriptCheckError::Refused(refusal)) => {
            assert_says(text, &refusal.code, &refusal.message, refusal.position);
        }
        Err(ScriptCheckError::Unavailable { source }) => panic!("{source} for {text:.80?}"),
    }
}

async fn verdicts_are_sound(h: &Harness, submission: &Submission) {
    let text = submission.text.as_str();
    for read_only in [false, true] {
        let begin = Instant::now();
        let outcome = h.reviewer().review(submission, &scope(read_only)).await;
        assert!(begin.elapsed() < LONGEST, "{:?} for {text:.80?}", begin.elapsed());
        assert_sound(text, read_only, &outcome);
    }
}

/// The piece, as often as a submission can hold it.
fn filled_with(piece: &str) -> String {
    piece.repeat(SubmissionText::MAX_BYTES / piece.len())
}

/// The same bytes for the same seed (xorshift), as far as they are UTF-8.
fn noise(seed: u64, length: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let bytes: Vec<u8> = (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect();
    String::from_utf8_lossy(&bytes).replace('\0', "0")
}

rules! { ($) __reviewer_rules in reviewer, harness: Harness => ready;
    async fn a_read_is_a_read_on_every_target(h) {
        for read_only in [false, true] {
            let review = review(&h, Sample::Reads, read_only).await.expect("it may run");
            assert_eq!((review.effect, review.statements), (Effect::Read, 1));
        }
    }

    async fn a_write_is_a_write(h) {
        let review = review(&h, Sample::Writes, false).await.expect("it may run");
        assert_eq!((review.effect, review.statements), (Effect::Write, 1));
    }

    async fn an_administrative_change_is_told_from_a_write(h) {
        let review = review(&h, Sample::Administers, false).await.expect("it may run");
        assert_eq!((review.effect, review.statements), (Effect::Administrative, 1));
    }

    async fn what_changes_something_is_refused_on_a_read_only_target(h) {
        for sample in [Sample::Writes, Sample::Administers] {
            let refusal = review(&h, sample, true).await.expect_err("nothing may change there");
            assert_says(h.submission(sample).text.as_str(), &refusal.code, &refusal.message, refusal.position);
        }
    }

    async fn what_may_never_run_is_refused_on_every_target_with_the_reason(h) {
        for read_only in [false, true] {
            let refusal = review(&h, Sample::Refused, read_only).await.expect_err("it may never run");
            let text = h.submission(Sample::Refused).text;
            assert_says(text.as_str(), &refusal.code, &refusal.message, refusal.position);
        }
    }

    /// What was shown to the approver is what the executor comes to as well.
    async fn the_same_text_gets_the_same_verdict(h) {
        for sample in [Sample::Reads, Sample::Writes, Sample::Administers, Sample::Refused] {
            for read_only in [false, true] {
                let first = review(&h, sample, read_only).await;
                assert_eq!(review(&h, sample, read_only).await, first, "{sample:?}");
            }
        }
    }

    async fn reviews_at_once_do_not_disturb_each_other(h) {
        let submission = h.submission(Sample::Writes);
        let reviews = (0..20).map(|n| {
            let (reviewer, submission) = (h.reviewer(), submission.clone());
            tokio::spawn(async move { reviewer.review(&submission, &scope(n % 2 == 1)).await.is_ok() })
        });
        for (n, review) in reviews.collect::<Vec<_>>().into_iter().enumerate() {
            assert_eq!(review.await.expect("no panic"), n % 2 == 0);
        }
    }

    async fn texts_of_nearly_nothing_are_survived(h) {
        let texts = [
            ";", ";;;", "-", "--", "//", "/*", "*/", "/*/", "'", "''", "\"", "`", "$", "$$", "$a$", "\\", "(", ")",
            "[", "]", "{", "}", ".", ",", ":", "?", "@", "#", "%", "E'", "U&\"", "x'", "0x", "1e", "1..", "\u{feff}",
            "\u{202e}", "\u{1}", "\u{7f}", "é", "密", "👩‍👩‍👧", "\u{a0}x", "\r", "x\r", "\u{2028}x",
        ];
        for text in texts {
            if !text.trim().is_empty() {
                survives(&h, text).await;
            }
        }
    }

    async fn texts_of_the_greatest_length_are_survived(h) {
        for piece in ["x", "x ", ";", "SELECT 1;", "'", "\"", "$$", "é", "-- \n", "1,", "db.a.find();"] {
            survives(&h, &filled_with(piece)).await;
        }
    }

    async fn deep_nesting_is_survived(h) {
        for piece in ["(", "[", "{", "/*", "SELECT (", "SELECT * FROM (", "CASE WHEN ", "NOT ", "- ", "a[", "{a:"] {
            survives(&h, &piece.repeat(500)).await;
            survives(&h, &piece.repeat(20_000)).await;
            survives(&h, &filled_with(piece)).await;
        }
        for (open, close) in [("(", ")"), ("[", "]"), ("{", "}"), ("/*", "*/")] {
            for depth in [100, 5_000, 100_000] {
                survives(&h, &format!("SELECT {}1{}", open.repeat(depth), close.repeat(depth))).await;
            }
        }
    }

    async fn noise_is_survived(h) {
        for seed in 1..200 {
            survives(&h, &format!("x{}", noise(seed, 300))).await;
        }
        survives(&h, &format!("x{}", noise(1_000, 200_000))).await;
    }

    /// Every beginning and every end of a good text.
    async fn texts_cut_short_are_survived(h) {
        for sample in [Sample::Reads, Sample::Writes, Sample::Administers, Sample::Refused] {
            let submission = h.submission(sample);
            let text = submission.text.as_str();
            for (place, _) in text.char_indices() {
                for part in [&text[..place], &text[place..]] {
                    if !part.trim().is_empty() {
                        survives(&h, part).await;
                    }
                }
            }
        }
    }
}
