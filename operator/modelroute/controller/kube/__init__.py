"""SHELL. The Kubernetes API: what is asked of it, by which rights, and nothing while another operator leads."""
