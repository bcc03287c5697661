"""SHELL. The admission webhooks: ModelRoutes are looked at before they are kept, pods get the router they ask for."""
