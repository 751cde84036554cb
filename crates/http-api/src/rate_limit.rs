//! Rate limits by client address, so that nobody guesses passwords or starves others.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use actix_web::Error;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;
use actix_web::web::Data;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::error::Problem;
use crate::server::Api;

/// After so many checks, addresses that were quiet are forgotten.
const FORGET_EVERY: u32 = 10_000;

/// How much one client address may ask.
#[derive(Debug, Clone, Copy)]
pub struct RateLimits {
    /// Calls per second, with bursts of ten times as many.
    pub per_second: NonZeroU32,
    /// Logins, refreshes and changes of one's own password per minute, with bursts of as many.
    pub logins_per_minute: NonZeroU32,
}

impl Default for RateLimits {
    fn default() -> Self {
        const { Self { per_second: NonZeroU32::new(50).unwrap(), logins_per_minute: NonZeroU32::new(30).unwrap() } }
    }
}

/// The state of the limits of one process.
#[derive(Debug)]
pub(crate) struct Limiter {
    calls: DefaultKeyedRateLimiter<IpAddr>,
    logins: DefaultKeyedRateLimiter<IpAddr>,
    clock: DefaultClock,
    checks: AtomicU32,
}

impl Limiter {
    pub(crate) fn new(limits: RateLimits) -> Self {
        let burst = limits.per_second.saturating_mul(const { NonZeroU32::new(10).unwrap() });
        Self {
            calls: RateLimiter::keyed(Quota::per_second(limits.per_second).allow_burst(burst)),
            logins: RateLimiter::keyed(Quota::per_minute(limits.logins_per_minute)),
            clock: DefaultClock::default(),
            checks: AtomicU32::new(0),
        }
    }

    fn check(&self, ip: IpAddr, login: bool) -> Result<(), Problem> {
        if self.checks.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            self.calls.retain_recent();
            self.logins.retain_recent();
        }
        let limiter = if login { &self.logins } else { &self.calls };
        limiter
            .check_key(&network(ip))
            .map_err(|not_until| Problem::too_many(not_until.wait_time_from(self.clock.now()).as_secs() + 1))
    }
}

/// One IPv6 customer holds at least a /64, so that counts as one address.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// The limit on everything but `OPTIONS`, inside of CORS: a page of an allowed origin can read that it has to wait.
pub(crate) async fn limit(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let checked = if request.method() == Method::OPTIONS { Ok(()) } else { check(&request) };
    unless_too_many(checked, request, next).await
}

/// The limit on `OPTIONS`, outside of CORS, which answers preflights itself.
pub(crate) async fn limit_options(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let checked = if request.method() == Method::OPTIONS { check(&request) } else { Ok(()) };
    unless_too_many(checked, request, next).await
}

fn check(request: &ServiceRequest) -> Result<(), Problem> {
    let api = request.app_data::<Data<Api>>().expect("the app is always built with its Api");
    // As the router reads it: an escaped letter makes no other address.
    let path = request.match_info().as_str();
    let login = matches!(path, "/api/auth/login" | "/api/auth/refresh" | "/api/auth/password");
    // A preflight of a login tries no password.
    let login = login && request.method() != Method::OPTIONS;
    let health = matches!(path, "/health/live" | "/health/ready");
    request.peer_addr().filter(|_| !health).map_or(Ok(()), |peer| api.limiter.check(peer.ip(), login))
}

async fn unless_too_many<B: MessageBody + 'static>(
    checked: Result<(), Problem>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    match checked {
        Ok(()) => Ok(next.call(request).await?.map_into_left_body()),
        Err(problem) => Ok(request.error_response(problem).map_into_right_body()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_run_out_before_calls_and_for_one_address_only() {
        let limits = RateLimits {
            per_second: NonZeroU32::new(100).unwrap(),
            logins_per_minute: NonZeroU32::new(3).unwrap(),
        };
        let limiter = Limiter::new(limits);
        let [a, b] = ["192.0.2.1", "192.0.2.2"].map(|ip| ip.parse::<IpAddr>().unwrap());
        assert!((0..3).all(|_| limiter.check(a, true).is_ok()));
        assert!(limiter.check(a, true).is_err());
        assert!(limiter.check(a, false).is_ok());
        assert!(limiter.check(b, true).is_ok());
    }

    #[test]
    fn a_slash_64_counts_as_one_address() {
        let limits = RateLimits { logins_per_minute: NonZeroU32::new(1).unwrap(), ..RateLimits::default() };
        let limiter = Limiter::new(limits);
        assert!(limiter.check("2001:db8::1".parse().unwrap(), true).is_ok());
        assert!(limiter.check("2001:db8::2".parse().unwrap(), true).is_err());
        assert!(limiter.check("2001:db8:0:1::2".parse().unwrap(), true).is_ok());
    }
}
