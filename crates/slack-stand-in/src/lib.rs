//! A stand-in for Slack, for tests: answers on loopback as Slack's Web API does, remembers what it was told, goes wrong
//! as it is asked to, and presses buttons as Slack does.
//!
//! It must not know the portal: what it checks and refuses is what Slack documents.

mod blocks;
mod faults;
mod interactions;
mod methods;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

pub use blocks::check_blocks;
pub use faults::Fault;
pub use interactions::{SignedCall, form_body, sign_with};
pub use state::{Call, Channel, Ephemeral, Message, Person, View};

use state::State;

/// The token that calls have to carry.
pub const BOT_TOKEN: &str = "xoxb-stand-in-0123456789-bot-token";
/// The secret with which calls to the app are signed.
pub const SIGNING_SECRET: &str = "stand-in-signing-secret-8f742231b10e8888abcd99";
/// The workspace.
pub const TEAM: &str = "T0STANDIN";

/// A workspace with one app in it. Ends when it is dropped.
#[derive(Debug)]
pub struct SlackStandIn {
    server: MockServer,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct Answers(Arc<Mutex<State>>);

impl Respond for Answers {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        methods::respond(&mut locked(&self.0), request)
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SlackStandIn {
    /// Listens on a free port of loopback.
    pub async fn start() -> Self {
        let server = MockServer::builder().disable_request_recording().start().await;
        let state = Arc::new(Mutex::new(State::default()));
        Mock::given(any()).respond_with(Answers(state.clone())).mount(&server).await;
        Self { server, state }
    }

    /// What takes the place of `https://slack.com/api`.
    pub fn api_url(&self) -> String {
        format!("{}/api", self.server.uri())
    }

    /// A channel in which the app is.
    pub fn add_channel(&self, id: &str, name: &str) {
        self.change_channel(Channel::new(id, name));
    }

    /// Adds a channel, or puts another in its place with its messages kept.
    pub fn change_channel(&self, channel: Channel) {
        self.state().put_channel(channel);
    }

    /// Adds a person, or puts another in their place.
    pub fn add_person(&self, person: Person) {
        self.state().people.insert(person.id.clone(), person);
    }

    /// Calls of the method go wrong in this way, once, after those that were queued before.
    pub fn next(&self, method: &str, fault: Fault) {
        self.state().faults.queue(method, fault);
    }

    /// Every call of the method is refused with this code until it is set to `None`.
    pub fn always(&self, method: &str, code: Option<&str>) {
        self.state().faults.always(method, code);
    }

    /// While Slack is away no call is answered well.
    pub fn away(&self, away: bool) {
        self.state().away = away;
    }

    /// From now on messages are dated with this moment, in seconds since 1970, and not with the system's time.
    pub fn set_time(&self, seconds: i64) {
        self.state().now = Some(seconds);
    }

    /// The messages of a channel by its id, oldest first. For those of a direct conversation see [`Self::messages_to`].
    pub fn messages(&self, channel: &str) -> Vec<Message> {
        self.state().messages(channel)
    }

    /// The direct messages to a person, oldest first.
    pub fn messages_to(&self, user: &str) -> Vec<Message> {
        self.state().messages(&state::conversation_with(user))
    }

    /// Takes a message away, as somebody with the right to do so would.
    pub fn delete_message(&self, channel: &str, ts: &str) {
        self.state().delete_message(channel, ts);
    }

    /// A message that somebody else wrote.
    pub fn say(&self, channel: &str, text: &str) {
        self.state().post(channel, text, Vec::new());
    }

    pub fn ephemerals(&self) -> Vec<Ephemeral> {
        self.state().ephemerals.clone()
    }

    /// The dialogs that were opened.
    pub fn views(&self) -> Vec<View> {
        self.state().views.clone()
    }

    /// Every call, whatever became of it, as it arrived.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// How often a method was called.
    pub fn count(&self, method: &str) -> usize {
        self.state().calls.iter().filter(|call| call.method == method).count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

/// The elements of all `actions` blocks.
pub fn buttons(blocks: &[Value]) -> Vec<Value> {
    let actions = blocks.iter().filter(|block| block["type"] == "actions");
    actions.filter_map(|block| block["elements"].as_array()).flatten().cloned().collect()
}
