//! Slack's Web API: each method that the portal uses, in time or not at all.
//!
//! It must not know what messages are about, and repeats nothing of what is sent or answered in an error or in the log.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::HttpsConnectorBuilder;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use slack_morphism::api::{
    SlackApiChatPostEphemeralRequest, SlackApiChatPostMessageRequest, SlackApiChatUpdateRequest,
    SlackApiViewsOpenRequest,
};
use slack_morphism::blocks::SlackView;
use slack_morphism::hyper_tokio::{SlackClientHyperConnector, SlackHyperClient, SlackHyperHttpsConnector};
use slack_morphism::signature_verifier::SlackEventSignatureVerifier;
use slack_morphism::{ClientResult, SlackApiToken, SlackClient, SlackMessageContent};
use tokio::sync::OnceCell;
use url::Url;

use crate::answers::{ConversationAnswer, Done, HistoryPage, Person, PersonAnswer, Posted, TeamAnswer};
use crate::errors::CallError;
use crate::message::Message;

/// How the portal works with Slack.
#[derive(Debug)]
pub struct SlackConfig {
    /// `xoxb-...`
    pub bot_token: SecretString,
    /// With which Slack signs what it tells the portal.
    pub signing_secret: SecretString,
    /// Ends in `/api`. Only the machine itself may be asked without TLS.
    pub api_url: Url,
    /// Id or name of the channel for requests of PODs that have none.
    pub default_channel: Option<String>,
    /// Where people find a request: `{id}` stands for its id.
    pub request_link: Option<String>,
    /// For each call.
    pub timeout: Duration,
}

impl SlackConfig {
    /// With Slack's own address, 10 seconds for a call, no default channel and no links.
    pub fn new(bot_token: SecretString, signing_secret: SecretString) -> Self {
        Self {
            bot_token,
            signing_secret,
            api_url: Url::parse("https://slack.com/api").expect("a fixed address is an address"),
            default_channel: None,
            request_link: None,
            timeout: Duration::from_secs(10),
        }
    }
}

/// Why the portal cannot work with Slack as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum SlackSetupError {
    #[error("the bot token and the signing secret must not be empty")]
    NoSecret,
    #[error(
        "the address of Slack's API must start with https://; only a loopback address may be asked without TLS"
    )]
    InsecureUrl,
    #[error("the link to a request must be an http or https address that holds {{id}}")]
    BadLink,
    #[error("the certificate authorities of the system cannot be used")]
    Certificates { source: Box<dyn std::error::Error + Send + Sync> },
}

/// A bot in a workspace. Cheap to clone.
#[derive(Clone)]
pub struct Slack(Arc<Inner>);

struct Inner {
    client: SlackHyperClient,
    token: SlackApiToken,
    timeout: Duration,
    team: OnceCell<TeamAnswer>,
    verifier: SlackEventSignatureVerifier,
    default_channel: Option<String>,
    request_link: Option<String>,
}

impl fmt::Debug for Slack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slack(..)")
    }
}

#[derive(Serialize)]
struct OpenConversation<'a> {
    users: &'a str,
}

impl Slack {
    /// Makes the client. Asks nothing of Slack yet.
    pub fn new(config: SlackConfig) -> Result<Self, SlackSetupError> {
        let SlackConfig { bot_token, signing_secret, api_url, default_channel, request_link, timeout } =
            config;
        if bot_token.expose_secret().is_empty() || signing_secret.expose_secret().is_empty() {
            return Err(SlackSetupError::NoSecret);
        }
        if request_link.as_ref().is_some_and(|link| !is_link(link)) {
            return Err(SlackSetupError::BadLink);
        }
        let connector = SlackClientHyperConnector::with_connector(connector(&api_url)?)
            .with_slack_api_url(api_url.as_str().trim_end_matches('/'));
        Ok(Self(Arc::new(Inner {
            client: SlackClient::new(connector),
            token: SlackApiToken::new(bot_token.expose_secret().into()),
            timeout,
            team: OnceCell::new(),
            verifier: SlackEventSignatureVerifier::new(&signing_secret.expose_secret().into()),
            default_channel,
            request_link,
        })))
    }

    pub(crate) fn default_channel(&self) -> Option<&str> {
        self.0.default_channel.as_deref()
    }

    pub(crate) fn request_link(&self) -> Option<&str> {
        self.0.request_link.as_deref()
    }

    pub(crate) fn verifier(&self) -> &SlackEventSignatureVerifier {
        &self.0.verifier
    }

    pub(crate) async fn post_message(&self, channel: &str, message: &Message) -> Result<Posted, CallError> {
        let request = SlackApiChatPostMessageRequest::new(channel.into(), message.content())
            .with_link_names(false)
            .with_parse("none".to_owned())
            .with_unfurl_links(false)
            .with_unfurl_media(false);
        self.post("chat.postMessage", &request).await
    }

    pub(crate) async fn update(
        &self,
        channel: &str,
        ts: &str,
        message: &Message,
    ) -> Result<Posted, CallError> {
        let request = SlackApiChatUpdateRequest::new(channel.into(), message.content(), ts.into())
            .with_link_names(false)
            .with_parse("none".to_owned());
        self.post("chat.update", &request).await
    }

    pub(crate) async fn post_ephemeral(
        &self,
        channel: &str,
        user: &str,
        content: SlackMessageContent,
    ) -> Result<(), CallError> {
        let request = SlackApiChatPostEphemeralRequest::new(channel.into(), user.into(), content)
            .with_link_names(false)
            .with_parse("none".to_owned());
        let _: Done = self.post("chat.postEphemeral", &request).await?;
        Ok(())
    }

    /// The id of the direct conversation with somebody.
    pub(crate) async fn open_conversation(&self, user: &str) -> Result<String, CallError> {
        let answer: ConversationAnswer =
            self.post("conversations.open", &OpenConversation { users: user }).await?;
        Ok(answer.channel.id)
    }

    /// Messages since `oldest`, in seconds since 1970.
    pub(crate) async fn history(
        &self,
        channel: &str,
        oldest: i64,
        cursor: Option<&str>,
    ) -> Result<HistoryPage, CallError> {
        let oldest = oldest.to_string();
        let parameters = [
            ("channel", Some(channel)),
            ("oldest", Some(&oldest)),
            ("limit", Some("200")),
            ("cursor", cursor),
        ];
        self.get("conversations.history", &parameters).await
    }

    pub(crate) async fn lookup_by_email(&self, email: &str) -> Result<Person, CallError> {
        let answer: PersonAnswer = self.get("users.lookupByEmail", &[("email", Some(email))]).await?;
        Ok(answer.user)
    }

    pub(crate) async fn user(&self, id: &str) -> Result<Person, CallError> {
        let answer: PersonAnswer = self.get("users.info", &[("user", Some(id))]).await?;
        Ok(answer.user)
    }

    pub(crate) async fn open_view(&self, trigger: &str, view: SlackView) -> Result<(), CallError> {
        let request = SlackApiViewsOpenRequest::new(trigger.into(), view);
        let _: Done = self.post("views.open", &request).await?;
        Ok(())
    }

    /// The workspace of the bot: asked for once.
    pub(crate) async fn team(&self) -> Result<&TeamAnswer, CallError> {
        self.0.team.get_or_try_init(|| self.get("auth.test", &[])).await
    }

    async fn post<T>(
        &self,
        method: &'static str,
        request: &(impl Serialize + Send + Sync),
    ) -> Result<T, CallError>
    where
        T: for<'de> Deserialize<'de> + Send,
    {
        let session = self.0.client.open_session(&self.0.token);
        self.in_time(method, session.http_session_api.http_post(method, request, None)).await
    }

    async fn get<T>(&self, method: &'static str, parameters: &[(&str, Option<&str>)]) -> Result<T, CallError>
    where
        T: for<'de> Deserialize<'de> + Send,
    {
        let parameters: Vec<(&str, Option<&str>)> = parameters.to_vec();
        let session = self.0.client.open_session(&self.0.token);
        self.in_time(method, session.http_session_api.http_get(method, &parameters, None)).await
    }

    async fn in_time<T>(
        &self,
        method: &'static str,
        call: impl Future<Output = ClientResult<T>>,
    ) -> Result<T, CallError> {
        match tokio::time::timeout(self.0.timeout, call).await {
            Ok(answer) => answer.map_err(|error| CallError::of(method, &error)),
            Err(_) => Err(CallError::TimedOut { method }),
        }
    }
}

fn is_link(template: &str) -> bool {
    let url = Url::parse(template);
    template.contains("{id}") && url.is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

/// The library's own connector speaks TLS only.
fn connector(url: &Url) -> Result<SlackHyperHttpsConnector, SlackSetupError> {
    let loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    let builder = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
        .map_err(|error| SlackSetupError::Certificates { source: error.into() })?;
    let builder = match url.scheme() {
        "https" => builder.https_only(),
        "http" if loopback => builder.https_or_http(),
        _ => return Err(SlackSetupError::InsecureUrl),
    };
    Ok(builder.enable_http1().enable_http2().build())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made_with(url: &str, token: &str, link: Option<&str>) -> Result<Slack, SlackSetupError> {
        Slack::new(SlackConfig {
            api_url: Url::parse(url).unwrap(),
            request_link: link.map(str::to_owned),
            ..SlackConfig::new(token.into(), "secret".into())
        })
    }

    #[test]
    fn only_the_machine_itself_is_asked_without_tls() {
        for good in [
            "https://slack.com/api",
            "http://127.0.0.1:9/api",
            "http://[::1]:9/api",
            "http://localhost:9/api",
        ] {
            assert!(made_with(good, "xoxb-1", None).is_ok(), "{good}");
        }
        for bad in ["http://slack.com/api", "http://127.0.0.1.example.com/api", "ftp://localhost/api"] {
            assert!(matches!(made_with(bad, "xoxb-1", None), Err(SlackSetupError::InsecureUrl)), "{bad}");
        }
    }

    #[test]
    fn a_link_needs_a_place_for_the_id() {
        let url = "https://slack.com/api";
        assert!(made_with(url, "xoxb-1", Some("https://portal.example.com/requests/{id}")).is_ok());
        for bad in ["https://portal.example.com", "javascript:alert({id})", "{id}"] {
            assert!(matches!(made_with(url, "xoxb-1", Some(bad)), Err(SlackSetupError::BadLink)), "{bad}");
        }
        assert!(matches!(made_with(url, "", None), Err(SlackSetupError::NoSecret)));
    }
}
