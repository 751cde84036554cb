//! What the demo tells when it is ready.

use std::net::SocketAddr;

use super::people::PEOPLE;
use super::state::DemoState;
use crate::commands::say;

/// Lines for a shell: a login, a submission, an approval, a result.
const LINES: &str = r#"login() { curl -s $PORTAL/api/auth/login -H 'Content-Type: application/json' -d "{\"email\":\"$1\",\"password\":\"$2\"}" | grep -o '"accessToken":"[^"]*' | cut -d'"' -f4; }
DEV=$(login dev@demo.example $DEV_PASSWORD)
MANAGER=$(login manager@demo.example $MANAGER_PASSWORD)
ID=$(curl -s $PORTAL/api/queries -H "Authorization: Bearer $DEV" -H 'Content-Type: application/json' -d '{"instanceId":"shop","databaseName":"shop","queryContent":"SELECT status, count(*) FROM orders GROUP BY status ORDER BY status"}' | grep -o '"id":"[^"]*' | head -1 | cut -d'"' -f4)
curl -s -X POST "$PORTAL/api/queries/$ID/approve?wait=10" -H "Authorization: Bearer $MANAGER"
curl -s $PORTAL/api/queries/$ID/result -H "Authorization: Bearer $DEV""#;

/// With a MongoDB, what one would type into its shell.
const MONGO_LINES: &str = r#"ID=$(curl -s $PORTAL/api/queries -H "Authorization: Bearer $DEV" -H 'Content-Type: application/json' -d '{"instanceId":"activity","databaseName":"activity","queryContent":"db.users.find({age: {$gt: 70}}).sort({age: -1}).limit(3)"}' | grep -o '"id":"[^"]*' | head -1 | cut -d'"' -f4)
curl -s -X POST "$PORTAL/api/queries/$ID/approve?wait=10" -H "Authorization: Bearer $MANAGER"
curl -s $PORTAL/api/queries/$ID/result -H "Authorization: Bearer $DEV""#;

pub(super) fn print(state: &DemoState, address: SocketAddr, mongodb: bool) -> anyhow::Result<()> {
    say("\nPeople (their passwords were made up for this folder):")?;
    for person in &PEOPLE {
        say(&format!("  {:<30} {:<10} {}", person.email, person.role, person.pod.unwrap_or("-")))?;
    }
    say("\nInstances:")?;
    say("  shop        read-write  PODs: payments")?;
    say("  analytics   read-only   PODs: payments, platform")?;
    if mongodb {
        say("  activity    read-write  PODs: payments, platform  (MongoDB)")?;
    }
    say("\nTo paste into another terminal:\n")?;
    say(&format!("PORTAL=http://{address}"))?;
    for (person, password) in PEOPLE.iter().zip(&state.user_passwords) {
        let name = person.email.split('@').next().unwrap_or_default().to_uppercase().replace('-', "_");
        say(&format!("{name}_PASSWORD={password}"))?;
    }
    say(LINES)?;
    if mongodb {
        say(MONGO_LINES)?;
    }
    say(&format!("\nAll of the API: http://{address}/docs/"))?;
    say(&format!("\nready on http://{address} (Ctrl-C stops it)"))
}
