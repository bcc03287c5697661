"""The admission webhooks: ModelRoutes are looked at before they are kept, and pods get the router that they ask for."""
