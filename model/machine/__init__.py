"""What the machine offers: device, number type, memory."""
