//! What an operator may have to account for and what is no exchange's own business: told to every plugin.

use crate::{ClientAddress, RouteId};
use http::{Method, StatusCode};

/// Something that happened to the process, or at its door.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The process serves, with this configuration. The first event.
    Started(Running<'a>),
    /// The process has served its last exchange. The last event.
    Stopped(Running<'a>),
    /// Another configuration serves from now on.
    Reloaded(Running<'a>),
    /// A configuration was refused; what served before goes on.
    ReloadRefused {
        /// What goes on.
        running: Running<'a>,
        /// Where the mistakes stand, in the order of the file; never what stands there.
        mistakes: &'a [Spot],
    },
    /// The admin listener refused a credential, or took a request that may change something.
    Admin(AdminAct<'a>),
    /// The edge refused or changed a request.
    Blocked {
        /// As counted in `vestibule_threats_blocked_total`.
        kind: &'static str,
        /// [`RouteId::UNMATCHED`] where none was found.
        route: RouteId,
        /// Where it came from.
        client: ClientAddress,
    },
    /// A plugin answered a request with a problem instead of letting it through.
    Denied(Denial<'a>),
}

/// What runs.
#[derive(Clone, Copy, Debug)]
pub struct Running<'a> {
    /// Version of the program.
    pub version: &'static str,
    /// Counts configurations that have served, from 1.
    pub generation: u64,
    /// Differs when the configuration does.
    pub config_hash: &'a str,
}

/// A place in the configuration file; both count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// A request to the admin listener.
#[derive(Clone, Copy, Debug)]
pub struct AdminAct<'a> {
    /// Its method.
    pub method: &'a Method,
    /// The template of its path, e.g. `/rate-limit/{policy}/{key}`; `/{unknown}` for one that does not exist.
    pub path: &'a str,
    /// What it was answered with.
    pub status: StatusCode,
}

/// A request that a plugin refused.
#[derive(Clone, Copy, Debug)]
pub struct Denial<'a> {
    /// Which plugin.
    pub by: &'static str,
    /// Slug of the problem.
    pub slug: &'static str,
    /// Why, in more detail: see [`Problem::reason`](crate::Problem::reason).
    pub reason: Option<&'a str>,
    /// The status that was sent.
    pub status: StatusCode,
    /// Which `[[routes]]` entry applies.
    pub route: RouteId,
    /// Where it came from.
    pub client: ClientAddress,
}
