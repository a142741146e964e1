#!/usr/bin/env ruby
# frozen_string_literal: true

# BigBlueButton runs this after each format of a recording that it has published:
#
#   ruby post_publish_sl.rb -m RECORD-ID [-f FORMAT]
#
# It sends what is published of that recording by now. What cannot be sent stays here, and goes with the next
# `sl_batch_import.rb`.

require 'optparse'
require File.join(File.dirname(File.realpath(__FILE__)), 'sl_recordings')

options = {}
OptionParser.new do |opts|
  opts.on('-m', '--meeting-id ID') { |id| options[:id] = id }
  opts.on('-f', '--format NAME') { |name| options[:format] = name }
end.parse!

begin
  abort 'post_publish_sl.rb: -m RECORD-ID is missing' unless options[:id]
  config = SlRecordings::Config.load
  log = config.logger
  SlRecordings::Store.new(config, log: log).deliver(options[:id])
rescue SlRecordings::Error => e
  log&.error("sl: #{options[:id]} is not sent: #{e.message}")
  abort "post_publish_sl.rb: #{options[:id]} is not sent: #{e.message}"
end
