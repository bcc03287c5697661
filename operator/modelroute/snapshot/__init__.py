"""PURE. The contract between operator and router: all that a router must know of one ModelRoute, versioned."""
