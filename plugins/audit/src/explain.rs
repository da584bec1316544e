//! What would be written of a request, for `vestibule explain`.

use crate::config::OnError;
use crate::shared::Shared;
use http::{Method, header};
use vestibule_plugin::{RequestHead, RouteId};

/// `action auth.login, resource session:login; started + finished, waits for disk: no`
pub(crate) fn line(shared: &Shared, request: &RequestHead<'_>, route: RouteId) -> String {
    let Some(plan) = shared.plan(route) else { return "not audited; refusals and threats are".to_owned() };
    let method = request.method.as_str();
    let action = plan.action.fill(&plan.path, request.path, method, &shared.redactor);
    let resource = plan.resource.fill(&plan.path, request.path, method, &shared.redactor);
    let reads = matches!(*request.method, Method::GET | Method::HEAD | Method::OPTIONS);
    let upgrades = request.fields.has(&header::UPGRADE);
    let (records, waits) = match shared.on_error {
        OnError::Closed => ("started + finished", "yes"),
        OnError::Open if reads && !upgrades => ("finished", "no"),
        OnError::Open => ("started + finished", "no"),
    };
    format!("action {action}, resource {resource}; {records}, waits for disk: {waits}")
}
