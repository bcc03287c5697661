"""HTTP on sockets, both ways, as strict on either side. Knows no model and no route."""
