"""PURE. The ModelRoute resource: its types, its rules, how a manifest is read, and the CRD made from the types."""
