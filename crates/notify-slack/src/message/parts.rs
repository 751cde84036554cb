//! The pieces that messages are made of.

use slack_morphism::SlackMessageContent;
use slack_morphism::SlackRelaxedUrl;
use slack_morphism::blocks::{
    SlackBlock, SlackBlockPlainText, SlackBlockPlainTextOnly, SlackHeaderBlock, SlackRichTextBlock,
    SlackRichTextElement, SlackRichTextInlineElement, SlackRichTextLink, SlackRichTextPreformatted,
    SlackRichTextSection, SlackRichTextText,
};

use crate::text::{Shown, block, escaped, inline};

/// Names, addresses and the like.
const INLINE_LIMIT: usize = 300;

/// Words of ours, in the places where Slack takes plain text only.
pub(super) fn words(text: &str) -> SlackBlockPlainTextOnly {
    SlackBlockPlainText::new(text.to_owned()).with_emoji(false).into()
}

/// The first block of every message.
pub(super) fn header(text: &str, block_id: String) -> SlackBlock {
    SlackHeaderBlock::new(words(text)).with_block_id(block_id.into()).into()
}

/// Rich text in the making. Remembers whether everything of others in it is shown as it is.
#[derive(Debug)]
pub(super) struct RichText {
    elements: Vec<SlackRichTextElement>,
    line: Vec<SlackRichTextInlineElement>,
    pub(super) faithful: bool,
}

impl RichText {
    pub(super) fn new() -> Self {
        Self { elements: vec![], line: vec![], faithful: true }
    }

    /// Words of ours.
    pub(super) fn say(&mut self, words: &str) -> &mut Self {
        self.line.push(words.into());
        self
    }

    /// Words of ours that stand out.
    pub(super) fn label(&mut self, words: &str) -> &mut Self {
        self.line.push(SlackRichTextText::new(words.to_owned()).bold().into());
        self
    }

    /// Something of others, within a line.
    pub(super) fn value(&mut self, text: &str) -> &mut Self {
        let shown = inline(text, INLINE_LIMIT);
        self.faithful &= shown.is_faithful();
        self.line.push(SlackRichTextText::new(shown.text).code().into());
        self
    }

    /// Ends a line.
    pub(super) fn end(&mut self) -> &mut Self {
        self.say("\n")
    }

    /// A line of a label and something of others.
    pub(super) fn field(&mut self, label: &str, value: &str) -> &mut Self {
        self.label(label).say(" ").value(value).end()
    }

    /// A line of a label and words of ours.
    pub(super) fn fact(&mut self, label: &str, words: &str) -> &mut Self {
        self.label(label).say(" ").say(words).end()
    }

    /// Something of others that may have several lines.
    pub(super) fn block(&mut self, text: &str, limit: usize) -> &mut Self {
        self.shown(block(text, limit))
    }

    pub(super) fn shown(&mut self, shown: Shown) -> &mut Self {
        self.close_line();
        self.faithful &= shown.is_faithful();
        let elements = vec![SlackRichTextText::new(shown.text).into()];
        self.elements.push(SlackRichTextPreformatted::new(elements).into());
        self
    }

    /// A line with a link of ours.
    pub(super) fn link(&mut self, url: &str, words: &str) -> &mut Self {
        self.line
            .push(SlackRichTextLink::new(SlackRelaxedUrl(url.to_owned())).with_text(words.to_owned()).into());
        self.end()
    }

    fn close_line(&mut self) {
        if !self.line.is_empty() {
            self.elements.push(SlackRichTextSection::new(std::mem::take(&mut self.line)).into());
        }
    }

    /// `None` when nothing was said: Slack refuses empty blocks.
    pub(super) fn into_block(mut self) -> Option<SlackBlock> {
        self.close_line();
        (!self.elements.is_empty()).then(|| SlackRichTextBlock::new(self.elements).into())
    }
}

/// Where a request is found in the portal.
pub(super) fn link_to(template: Option<&str>, id: impl std::fmt::Display) -> Option<String> {
    template.map(|template| template.replace("{id}", &id.to_string()))
}

/// Most of what the portal says to one person: a sentence or two.
const SAID_LIMIT: usize = 2_000;

/// A plain text that means nothing to Slack.
pub(crate) fn said(text: &str) -> SlackMessageContent {
    let shown = block(text, SAID_LIMIT).text;
    let fallback = escaped(&shown);
    let section = SlackRichTextSection::new(vec![SlackRichTextText::new(shown).into()]);
    SlackMessageContent::new()
        .with_text(fallback)
        .with_blocks(vec![SlackRichTextBlock::new(vec![section.into()]).into()])
}
