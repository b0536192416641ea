//! ResourceQuota.
