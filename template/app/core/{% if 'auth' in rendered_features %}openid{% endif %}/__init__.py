"""What OpenID Connect providers publish and sign."""
