//! What is done to a container: probes and lifecycle hooks.

use crate::{
    node::{Errors, Node},
    rules,
};

const PROBE_HANDLERS: [&str; 4] = ["exec", "httpGet", "tcpSocket", "grpc"];
const HOOK_HANDLERS: [&str; 4] = ["exec", "httpGet", "tcpSocket", "sleep"];

/// The one action of a probe.
pub(super) fn probe_handler(probe: &Node, e: &mut Errors) {
    one_handler(probe, &PROBE_HANDLERS, e);
}

/// The hooks of a container.
pub(super) fn lifecycle(lifecycle: &Node, e: &mut Errors) {
    for hook in ["postStart", "preStop"] {
        let hook = lifecycle.get(hook);
        if hook.is_set() {
            one_handler(&hook, &HOOK_HANDLERS, e);
        }
    }
    let signal = lifecycle.get("stopSignal");
    if signal.is_set() && !signal.str().starts_with("SIG") {
        e.not_supported(&signal, &[]);
    }
}

fn one_handler(parent: &Node, known: &[&str], e: &mut Errors) {
    let mut count = 0;
    for name in known {
        let action = parent.get(name);
        if !action.is_set() {
            continue;
        }
        count += 1;
        if count > 1 {
            e.forbidden(&action, "may not specify more than 1 handler type");
            continue;
        }
        match *name {
            "exec" => {
                e.require(&action.get("command"), "");
            }
            "httpGet" => http_get(&action, e),
            "tcpSocket" => port(&action.get("port"), e),
            "grpc" => port(&action.get("port"), e),
            _ => {
                let seconds = action.get("seconds");
                if seconds.int_or_zero() < 0 {
                    e.invalid(&seconds, "must be greater than or equal to 0");
                }
            }
        }
    }
    if count == 0 {
        e.required(parent, "must specify a handler type");
    }
}

fn http_get(action: &Node, e: &mut Errors) {
    e.require(&action.get("path"), "");
    port(&action.get("port"), e);
    e.one_of(&action.get("scheme"), &["HTTP", "HTTPS"]);
    for header in action.get("httpHeaders").items() {
        let name = header.get("name");
        let fits = !name.is_empty()
            && name
                .str()
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !fits {
            e.invalid_as(
                &name,
                name.str(),
                "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')",
            );
        }
    }
}

/// A port by number or name.
pub(crate) fn port(port: &Node, e: &mut Errors) {
    match port.int() {
        Some(number) if rules::is_port(number) => {}
        Some(_) => e.invalid(port, rules::PORT_RANGE),
        None if port.is_set() => e.check(port, rules::port_name),
        None => e.invalid_as(port, 0, rules::PORT_RANGE),
    }
}
