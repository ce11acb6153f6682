"""What the rules ask of a study: options, inputs and targets of jobs, and what they cost."""
