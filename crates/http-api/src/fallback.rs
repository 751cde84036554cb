//! What is answered where no route is: 404, or 405 where the address is known and the method is not.

use std::sync::LazyLock;

use actix_web::dev::ResourceDef;
use actix_web::{HttpRequest, HttpResponse};

use crate::error::Problem;

/// An address with the methods that are served there.
struct Address {
    pattern: ResourceDef,
    methods: Vec<String>,
}

/// All addresses, from the description of the API, and those beside it.
static ADDRESSES: LazyLock<Vec<Address>> = LazyLock::new(|| {
    let address = |pattern: &str, mut methods: Vec<String>| {
        if methods.iter().any(|method| method == "GET") {
            methods.push("HEAD".to_owned());
        }
        Address { pattern: ResourceDef::new(pattern), methods }
    };
    let description = serde_json::to_value(crate::openapi::document()).unwrap_or_default();
    let paths = description["paths"].as_object().into_iter().flatten();
    let described = paths.map(|(path, item)| {
        let methods = item.as_object().into_iter().flatten().map(|(method, _)| method.to_uppercase());
        address(path, methods.collect())
    });
    let beside = ["/api/openapi.json", "/docs/{page:.*}"].map(|path| address(path, vec!["GET".to_owned()]));
    described.chain(beside).collect()
});

pub(crate) async fn nothing_here(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let path = request.match_info().as_str();
    let matching: Vec<&Address> = ADDRESSES.iter().filter(|address| address.pattern.is_match(path)).collect();
    // `/api/queries/check` is more than a request whose id is "check".
    let exact = matching.iter().any(|address| address.pattern.pattern() == Some(path));
    let here = matching.iter().filter(|address| !exact || address.pattern.pattern() == Some(path));
    let mut methods: Vec<&str> = here.flat_map(|address| &address.methods).map(String::as_str).collect();
    methods.sort_unstable();
    methods.dedup();
    if methods.is_empty() {
        Err(Problem::not_found("There is nothing at this address. See /docs for what there is."))
    } else {
        Err(Problem::wrong_method(&methods.join(", ")))
    }
}
