//! What the demo tells when it is ready.

use std::net::SocketAddr;

use super::people::PEOPLE;
use super::state::DemoState;
use crate::commands::say;

pub(super) fn print(state: &DemoState, address: SocketAddr) -> anyhow::Result<()> {
    say("\nPeople (passwords were made up for this folder):")?;
    for (person, password) in PEOPLE.iter().zip(&state.user_passwords) {
        let pod = person.pod.unwrap_or("-");
        say(&format!("  {:<30} {:<10} {pod:<9} {password}", person.email, person.role))?;
    }
    say("\nInstances: shop (read-write, POD payments), analytics (read-only, PODs payments and platform)")?;
    let login = |variable: &str, index: usize| {
        let (email, password) = (PEOPLE[index].email, &state.user_passwords[index]);
        format!(
            "{variable}=$(curl -s http://{address}/api/auth/login -H 'Content-Type: application/json' \
             -d '{{\"email\":\"{email}\",\"password\":\"{password}\"}}' | sed 's/.*\"accessToken\":\"\\([^\"]*\\)\".*/\\1/')"
        )
    };
    say("\nTo paste into another terminal:\n")?;
    say(&login("DEV", 0))?;
    say(&login("MANAGER", 1))?;
    say(&format!(
        "ID=$(curl -s http://{address}/api/queries -H \"Authorization: Bearer $DEV\" -H 'Content-Type: application/json' \
         -d '{{\"instanceId\":\"shop\",\"databaseName\":\"shop\",\"queryContent\":\"SELECT status, count(*) FROM orders GROUP BY status ORDER BY status\"}}' \
         | sed 's/^{{\"id\":\"\\([^\"]*\\)\".*/\\1/')"
    ))?;
    say(&format!("curl -s -X POST \"http://{address}/api/queries/$ID/approve?wait=10\" -H \"Authorization: Bearer $MANAGER\""))?;
    say(&format!("curl -s http://{address}/api/queries/$ID/result -H \"Authorization: Bearer $DEV\""))?;
    say(&format!("\nAll of the API: http://{address}/docs/"))?;
    say(&format!("\nready on http://{address}  (Ctrl-C stops it)"))
}
