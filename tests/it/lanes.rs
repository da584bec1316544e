//! One table of behaviours for both lanes: what a client and an application see must not depend on which one a request
//! takes. The stream lane is a proxy without `[etag]`; with it, GET and HEAD take the held lane.

mod clients;
mod deaths;
mod ends;
mod grpc;
mod heads;
mod lane;
mod replies;
mod resend;
mod sizes;
mod timeouts;
mod upgrades;
mod uploads;
mod upstreams;
