//! Taints of hosts, and who tolerates them.

use std::fmt;

use mosaic_api::taints;
use serde::Deserialize;

/// What a taint does to pods that do not tolerate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// New pods stay away.
    NoSchedule,
    /// New pods rather stay away.
    PreferNoSchedule,
    /// New pods stay away, and those there are evicted.
    NoExecute,
}

impl Effect {
    fn read(text: &str) -> Option<Self> {
        match text {
            "NoSchedule" => Some(Self::NoSchedule),
            "PreferNoSchedule" => Some(Self::PreferNoSchedule),
            "NoExecute" => Some(Self::NoExecute),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::NoSchedule => "NoSchedule",
            Self::PreferNoSchedule => "PreferNoSchedule",
            Self::NoExecute => "NoExecute",
        }
    }

    /// Whether it keeps pods away altogether.
    pub fn keeps_away(self) -> bool {
        self != Self::PreferNoSchedule
    }
}

/// A host's taint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Taint {
    /// Its key.
    pub key: Box<str>,
    /// Its value, which may be empty.
    pub value: Box<str>,
    /// What it does.
    pub effect: Effect,
}

impl fmt::Display for Taint {
    /// As Kubernetes' events show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}: {}}}", self.key, self.value)
    }
}

/// What a pod tolerates.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Toleration {
    /// The taint's key; empty with `exists` means every key.
    pub key: Box<str>,
    /// Any value will do.
    pub exists: bool,
    /// The taint's value, unless `exists`.
    pub value: Box<str>,
    /// The effect that is tolerated; none means each.
    pub effect: Option<Effect>,
}

impl Toleration {
    /// Whether it is about this taint.
    pub fn tolerates(&self, taint: &Taint) -> bool {
        let toleration = taints::Toleration {
            key: &self.key,
            operator: if self.exists { "Exists" } else { "Equal" },
            value: &self.value,
            effect: self.effect.map_or("", Effect::name),
        };
        toleration.tolerates(taints::Taint {
            key: &taint.key,
            value: &taint.value,
            effect: taint.effect.name(),
        })
    }
}

#[derive(Deserialize)]
pub(super) struct RawTaint {
    #[serde(default)]
    key: String,
    value: Option<String>,
    #[serde(default)]
    effect: String,
}

impl RawTaint {
    /// An effect that is not known is none: Kubernetes ignores it too.
    pub(super) fn read(self) -> Option<Taint> {
        Some(Taint {
            key: self.key.into(),
            value: self.value.unwrap_or_default().into(),
            effect: Effect::read(&self.effect)?,
        })
    }
}

#[derive(Deserialize)]
pub(super) struct RawToleration {
    key: Option<String>,
    operator: Option<String>,
    value: Option<String>,
    effect: Option<String>,
}

impl RawToleration {
    /// An operator or an effect that is not known tolerates nothing.
    pub(super) fn read(self) -> Option<Toleration> {
        let effect = match self.effect.as_deref() {
            None | Some("") => None,
            Some(text) => Some(Effect::read(text)?),
        };
        let exists = match self.operator.as_deref() {
            None | Some("" | "Equal") => false,
            Some("Exists") => true,
            Some(_) => return None,
        };
        Some(Toleration {
            key: self.key.unwrap_or_default().into(),
            exists,
            value: self.value.unwrap_or_default().into(),
            effect,
        })
    }
}
