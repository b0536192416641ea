//! Which servers there are: the endpoints of the service `default/kubernetes`, through which programs in the
//! cluster reach the API.
//!
//! ```text
//!   every server ── renews ──▶ lease with its address ── watched by the leader ──▶ EndpointSlices, Endpoints
//! ```
//!
//! A server that stops deletes its lease. One that dies leaves it, and its address is taken out once the lease was not
//! renewed for its duration, by the leader's own clock.

mod endpoints;
mod presence;

use std::time::Duration;

pub(crate) use endpoints::run;
pub(crate) use presence::Presence;

const NAMESPACE: &str = "kube-system";
/// What marks the leases of servers.
const LABEL: (&str, &str) = ("mosaic/component", "apiserver");
/// Where a server says how it is reached: an IP address and a port.
const ADDRESS: &str = "mosaic/address";
/// How often a server renews its lease.
const RENEW: Duration = Duration::from_secs(10);
/// How long a server counts that does not.
const DURATION: Duration = Duration::from_secs(30);
