"""PURE. The ModelRoute resource: its types, what is checked, how a manifest is read, and the CRD made from the types."""
