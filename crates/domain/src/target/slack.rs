//! What Slack may show of a target.

/// What a message in Slack shows of the result of a request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum SlackResults {
    /// Numbers of rows, and the first rows themselves.
    #[default]
    Preview,
    /// Numbers of rows.
    Counts,
    /// That it is there.
    None,
}

impl SlackResults {
    pub const ALL: [Self; 3] = [Self::Preview, Self::Counts, Self::None];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preview => "preview",
            Self::Counts => "counts",
            Self::None => "none",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.as_str() == text)
    }
}
