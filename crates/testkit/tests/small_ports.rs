//! The fakes of the small ports pass the contracts that real adapters pass.

use std::sync::Arc;

use domain::ports::{
    AccessTokens, Clock, CredentialSource, Health, IdGenerator, Notifier, PasswordHasher, SecretGenerator,
    SubmissionReviewer,
};
use domain::request::Submission;
use domain::review::{Effect, Review};
use domain::target::{CredentialRef, CredentialSourceKind, Engine};
use testkit::InMemoryStore;
use testkit::builders::request;
use testkit::contract::{CredentialHarness, HealthHarness, Login, ReviewerHarness, Sample, TokenHarness};
use testkit::fakes::{
    FakeClock, FakeCredentials, FakeReviewer, FakeTokens, PlainPasswords, RecordingNotifier, SequentialIds,
    SequentialSecrets,
};

struct Tokens;

impl TokenHarness for Tokens {
    fn tokens(&self) -> Arc<dyn AccessTokens> {
        Arc::new(FakeTokens::new())
    }

    fn others(&self) -> Vec<Arc<dyn AccessTokens>> {
        vec![Arc::new(FakeTokens::named("somebody else"))]
    }

    fn forgeries(&self, good: &str) -> Vec<String> {
        let (payload, check) = good.rsplit_once('.').expect("there is a check at the end");
        let untyped = payload.strip_prefix("fake.").expect("there is a type in front");
        vec![
            payload.to_owned(),
            format!("{payload}."),
            format!("{untyped}.{check}"),
            format!("none.{untyped}."),
            format!("{payload}0.{check}"),
        ]
    }
}

async fn tokens() -> Arc<dyn TokenHarness> {
    Arc::new(Tokens)
}

testkit::access_token_contract!(tokens);

async fn passwords() -> Arc<dyn PasswordHasher> {
    Arc::new(PlainPasswords)
}

testkit::password_contract!(passwords);

const SHOP: [&str; 3] = ["TARGET_SHOP", "shop-login", "correct horse battery"];
const DEPOT: [&str; 3] = ["TARGET_DEPOT", "depot-user", "staple and päßwörter"];
const NAMELESS: [&str; 3] = ["TARGET_NAMELESS", "", "Zq7-uVx_93 kLm"];
const EMPTY: [&str; 3] = ["TARGET_EMPTY", "nobody-in-particular", ""];
const OWN: [&str; 3] = ["PORTAL_DATABASE", "the-portal-itself", "nobody may have this"];

struct Credentials(Arc<FakeCredentials>);

fn reference(name: &str) -> CredentialRef {
    CredentialRef { source: CredentialSourceKind::Env, reference: name.to_owned() }
}

impl CredentialHarness for Credentials {
    fn source(&self) -> Arc<dyn CredentialSource> {
        self.0.clone()
    }

    fn printed(&self) -> String {
        format!("{:?}", self.0)
    }

    fn kept(&self) -> Vec<Login> {
        let login = |[name, username, password]: [&str; 3]| Login {
            reference: reference(name),
            username: username.to_owned(),
            password: password.to_owned(),
        };
        [SHOP, DEPOT].map(login).to_vec()
    }

    fn missing(&self) -> Vec<CredentialRef> {
        ["TARGET_NONE", "TARGET_", "TARGET_SHOP_"].map(reference).to_vec()
    }

    fn forbidden(&self) -> Vec<CredentialRef> {
        vec![reference(OWN[0])]
    }

    fn malformed(&self) -> Vec<CredentialRef> {
        vec![reference(NAMELESS[0]), reference(EMPTY[0])]
    }

    fn secrets(&self) -> Vec<String> {
        let kept = [SHOP, DEPOT, NAMELESS, EMPTY, OWN];
        let parts = kept.iter().flat_map(|[_, username, password]| [username, password]);
        parts.filter(|part| !part.is_empty()).map(|&part| part.to_owned()).collect()
    }
}

async fn credentials() -> Arc<dyn CredentialHarness> {
    let source = FakeCredentials::default().admits("TARGET_");
    let keep = |source: FakeCredentials, [name, username, password]: [&str; 3]| {
        source.with(name, username, password)
    };
    Arc::new(Credentials(Arc::new([SHOP, DEPOT, NAMELESS, EMPTY, OWN].into_iter().fold(source, keep))))
}

testkit::credential_contract!(credentials);

async fn secrets() -> Arc<dyn SecretGenerator> {
    Arc::new(SequentialSecrets::new())
}

testkit::secret_contract!(secrets);

async fn ids() -> Arc<dyn IdGenerator> {
    Arc::new(SequentialIds::new())
}

testkit::id_contract!(ids);

async fn fake_clock() -> Arc<dyn Clock> {
    Arc::new(FakeClock::new())
}

testkit::clock_contract!(fake_clock);

async fn recording_notifier() -> Arc<dyn Notifier> {
    Arc::new(RecordingNotifier::new())
}

testkit::notifier_contract!(recording_notifier);

/// The fake knows nothing of texts: it is told what to say of the one that is asked for.
struct Reviewer(Arc<FakeReviewer>);

impl ReviewerHarness for Reviewer {
    fn reviewer(&self) -> Arc<dyn SubmissionReviewer> {
        self.0.clone()
    }

    fn submission(&self, sample: Sample) -> Submission {
        let says = |effect| self.0.answers(Review { effect, statements: 1, findings: vec![] });
        match sample {
            Sample::Reads => says(Effect::Read),
            Sample::Writes => says(Effect::Write),
            Sample::Administers => says(Effect::Administrative),
            Sample::Refused => self.0.refuses("copy_unsupported", "COPY is not supported."),
        }
        request().text("SELECT 1").unsaved().submission
    }
}

async fn reviewer() -> Arc<dyn ReviewerHarness> {
    Arc::new(Reviewer(Arc::new(FakeReviewer::new(Engine::Postgresql))))
}

testkit::reviewer_contract!(reviewer);

struct Stores {
    present: InMemoryStore,
    away: InMemoryStore,
}

impl HealthHarness for Stores {
    fn present(&self) -> Arc<dyn Health> {
        self.present.health()
    }

    fn away(&self) -> Arc<dyn Health> {
        self.away.health()
    }
}

async fn stores() -> Arc<dyn HealthHarness> {
    let stores = Stores { present: InMemoryStore::new(), away: InMemoryStore::new() };
    stores.away.set_unavailable(true);
    Arc::new(stores)
}

testkit::health_contract!(stores);
