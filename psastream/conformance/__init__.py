"""What every vendor must hold to: one suite, run on the folder of any system."""
