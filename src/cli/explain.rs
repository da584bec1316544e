//! `vestibule explain`

use crate::config::{Colour, HostDeps, Source, load};
use crate::host::Lent;
use crate::pipeline::Pipeline;
use crate::proxy;
use http::{HeaderName, HeaderValue, Method};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Says on stdout what would become of a request. A configuration that is wrong is told as `check` tells it.
pub(super) fn explain(
    config: Option<PathBuf>,
    method: &str,
    path: &str,
    fields: &[String],
) -> Result<ExitCode, String> {
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| format!("`{method}` is no method"))?;
    if !path.starts_with('/') && path != "*" {
        return Err(format!("`{path}` is no path; expected one like /api/orders"));
    }
    let fields = fields.iter().map(|line| field(line)).collect::<Result<Vec<_>, _>>()?;
    let deps = HostDeps::throwaway();
    let generation = match load(&Source::new(config), &deps) {
        Ok(generation) => generation,
        Err(diagnostics) => {
            let told = diagnostics.render(Colour::for_stderr());
            io::stderr().write_all(told.as_bytes()).map_err(|error| error.to_string())?;
            return Ok(ExitCode::FAILURE);
        }
    };
    let lent = Lent { clock: deps.clock.clone(), meter: deps.meter.clone() };
    let pipeline = Pipeline::new(1, generation, &[], &lent)?;
    let said = proxy::explain(&pipeline, &method, path, fields)?;
    io::stdout().write_all(said.as_bytes()).map_err(|error| error.to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// `name: value`, as curl takes it.
fn field(line: &str) -> Result<(HeaderName, HeaderValue), String> {
    const EXPECTED: &str = "expected a field like 'accept: text/html'";
    // The value may be a secret, so it is not repeated.
    let (name, value) = line.split_once(':').ok_or(EXPECTED)?;
    let name =
        HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| format!("`{name}` is no name; {EXPECTED}"))?;
    let value = HeaderValue::from_bytes(value.trim().as_bytes());
    Ok((name, value.map_err(|_| format!("the value of `{}` cannot be sent", line.split(':').next().unwrap_or("")))?))
}
