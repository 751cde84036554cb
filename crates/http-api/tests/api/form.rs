//! Forms with files, as browsers send them, and as nobody should.

use actix_web::http::header::CONTENT_TYPE;
use actix_web::test::TestRequest;

use crate::support::{Answer, Portal};

pub(crate) const BOUNDARY: &str = "----a-boundary-of-these-tests";

/// A form in the making.
#[derive(Clone, Default)]
pub(crate) struct Form(Vec<u8>);

impl Form {
    /// What Ada uploads when it does not matter.
    pub(crate) fn script() -> Self {
        Self::place().file("fix.js", "return 1;")
    }

    /// All that is needed beside the file.
    pub(crate) fn place() -> Self {
        Self::default().field("instanceId", "orders-db").field("databaseName", "orders")
    }

    pub(crate) fn field(self, name: &str, value: &str) -> Self {
        self.part(&format!("Content-Disposition: form-data; name=\"{name}\""), value)
    }

    pub(crate) fn file(self, filename: &str, content: impl AsRef<[u8]>) -> Self {
        let head = format!(
            "Content-Disposition: form-data; name=\"file\"; filename=\"{filename}\"\r\nContent-Type: text/javascript"
        );
        self.part(&head, content)
    }

    /// A part with whatever head.
    pub(crate) fn part(mut self, head: &str, content: impl AsRef<[u8]>) -> Self {
        self.0.extend(format!("--{BOUNDARY}\r\n{head}\r\n\r\n").as_bytes());
        self.0.extend(content.as_ref());
        self.0.extend(b"\r\n");
        self
    }

    /// The body, with its end.
    pub(crate) fn body(&self) -> Vec<u8> {
        [&self.0[..], format!("--{BOUNDARY}--\r\n").as_bytes()].concat()
    }

    pub(crate) fn fill(&self, call: TestRequest) -> TestRequest {
        let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
        call.insert_header((CONTENT_TYPE, content_type)).set_payload(self.body())
    }
}

impl Portal {
    pub(crate) async fn upload(&self, name: &str, form: &Form) -> Answer {
        self.send_as(name, form.fill(TestRequest::post().uri("/api/scripts/upload"))).await
    }

    /// Uploads a body of Ada's that nothing was made right in.
    pub(crate) async fn upload_raw(&self, content_type: Option<&str>, body: impl Into<Vec<u8>>) -> Answer {
        let call = TestRequest::post().uri("/api/scripts/upload").set_payload(body.into());
        let call = match content_type {
            Some(kind) => call.insert_header((CONTENT_TYPE, kind.as_bytes())),
            None => call,
        };
        self.send_as("ada", call).await
    }
}
