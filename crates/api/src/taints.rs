//! Taints of hosts, and who tolerates them.

/// A taint; what is absent is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taint<'a> {
    /// Which one.
    pub key: &'a str,
    /// More about it.
    pub value: &'a str,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: &'a str,
}

/// What a pod tolerates; what is absent is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Toleration<'a> {
    /// The taint's key; empty with `Exists` means every key.
    pub key: &'a str,
    /// `Exists`, or `Equal` (as without one). Another one tolerates nothing.
    pub operator: &'a str,
    /// The taint's value; not looked at with `Exists`.
    pub value: &'a str,
    /// The taint's effect; empty means every effect.
    pub effect: &'a str,
}

impl Toleration<'_> {
    /// Whether it is about this taint.
    pub fn tolerates(self, taint: Taint<'_>) -> bool {
        let any_value = match self.operator {
            "Exists" => true,
            "" | "Equal" => self.value == taint.value && !self.key.is_empty(),
            _ => false,
        };
        any_value
            && (self.key.is_empty() || self.key == taint.key)
            && (self.effect.is_empty() || self.effect == taint.effect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taint_is_tolerated_by_key_value_and_effect() {
        let taint = Taint {
            key: "pool",
            value: "db",
            effect: "NoSchedule",
        };
        for (key, operator, value, effect, tolerates) in [
            ("pool", "Equal", "db", "NoSchedule", true),
            ("pool", "", "db", "", true),
            ("pool", "Exists", "", "", true),
            ("", "Exists", "", "", true),
            ("", "Exists", "", "NoSchedule", true),
            ("", "Exists", "", "NoExecute", false),
            ("", "", "db", "", false),
            ("pool", "", "web", "", false),
            ("pool", "", "", "", false),
            ("gone", "Exists", "", "", false),
            ("gone", "", "db", "", false),
            ("pool", "", "db", "NoExecute", false),
            ("pool", "Like", "db", "", false),
        ] {
            let toleration = Toleration {
                key,
                operator,
                value,
                effect,
            };
            assert_eq!(toleration.tolerates(taint), tolerates, "{toleration:?}");
        }
    }
}
