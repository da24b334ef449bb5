"""Where the answers of the emulated models come from: rules that make them up, or a real small model."""
