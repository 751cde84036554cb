//! What a new server does with somebody who has not logged in.

use std::fs;
use std::path::Path;

use bson::doc;

use super::super::ephemeral::EphemeralMongo;
use super::super::server::MongoTls;
use super::super::wire::Connection;

#[test]
fn a_stranger_may_say_hello_and_nothing_else() {
    let server = EphemeralMongo::start().unwrap();
    let mut connection = Connection::open(server.port()).unwrap();
    let hello = connection.run(doc! { "hello": 1 }).unwrap();
    assert_eq!(hello.get_str("setName").unwrap(), "rs0");
    assert!(hello.get_bool("isWritablePrimary").unwrap());
    let another = doc! { "createUser": "another", "pwd": "x", "roles": [] };
    for command in [doc! { "listDatabases": 1 }, another] {
        let error = connection.run(command).unwrap_err().to_string();
        assert!(error.starts_with("Unauthorized: "), "{error}");
    }
}

#[test]
fn a_server_with_tls_hears_nobody_without() {
    // The tests of another crate have a certificate; dev-stack has no client that could look at it.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target-postgres/tests/postgres/certificates");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let certificate_and_key = read("server.pem") + &read("server.key");
    let tls = MongoTls { certificate_and_key, client_authority: None };
    assert!(!format!("{tls:?}").contains("PRIVATE"));
    let server = EphemeralMongo::start_with(&[], Some(&tls)).unwrap();
    assert!(server.url().ends_with("&tls=true"));
    let mut connection = Connection::open(server.port()).unwrap();
    connection.run(doc! { "hello": 1 }).unwrap_err();
    assert!(fs::read_to_string(server.data_dir().join("log")).unwrap().contains("SSLHandshakeFailed"));
}
