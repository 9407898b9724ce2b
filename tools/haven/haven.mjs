#!/usr/bin/env node
import '../../bin/haven.mjs'
