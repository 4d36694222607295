//! One container process, fully resolved: what the OCI calls a runtime.
