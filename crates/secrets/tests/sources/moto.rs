//! A part of moto's server for each test, and clients of it: it answers as AWS Secrets Manager does.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_sdk_secretsmanager::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use aws_sdk_secretsmanager::{Client, Config};
use dev_stack::test_moto;
use secrets::{AwsConfig, AwsCredentialSource};

static SPACES: AtomicU32 = AtomicU32::new(0);

/// A part of the server that no other test uses: names that begin with `prefix`.
pub(crate) struct Space {
    pub(crate) prefix: String,
    pub(crate) admin: Client,
}

impl Space {
    /// Starts the server where it does not run yet.
    pub(crate) fn new() -> Self {
        let number = SPACES.fetch_add(1, Ordering::SeqCst);
        // Other processes may use the same server.
        let prefix = format!("space-{}-{number}/", std::process::id());
        Self { prefix, admin: admin(test_moto()) }
    }

    pub(crate) fn source(&self) -> AwsCredentialSource {
        source(test_moto(), &self.prefix, Duration::from_secs(20))
    }

    pub(crate) async fn create(&self, name: &str, text: &str) {
        let creation = self.admin.create_secret().name(name).secret_string(text);
        creation.send().await.expect("moto keeps the secret");
    }
}

/// A source with a login to AWS of its own, so that nothing of this machine's settings counts.
pub(crate) fn source(url: &str, prefix: &str, timeout: Duration) -> AwsCredentialSource {
    let config = AwsConfig {
        prefixes: vec![prefix.to_owned()],
        region: Some("eu-west-1".to_owned()),
        endpoint_url: Some(url.to_owned()),
        timeout,
    };
    AwsCredentialSource::new(config).expect("it is on the loopback address").with_own_login(own_login())
}

fn own_login() -> SharedCredentialsProvider {
    let token = Some(OWN_TOKEN.to_owned());
    SharedCredentialsProvider::new(Credentials::new("AKIDEXAMPLE", OWN_KEY, token, None, "tests"))
}

/// Of the portal's own login to AWS: no error may repeat these either.
pub(crate) const OWN_KEY: &str = "mW8-qUz/yH3gXv";
pub(crate) const OWN_TOKEN: &str = "vK2dTq-zL0+pWc";

fn admin(url: &str) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .region(Region::new("eu-west-1"))
        .endpoint_url(url)
        .credentials_provider(own_login())
        .build();
    Client::from_conf(config)
}
