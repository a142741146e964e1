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
  config.become_owner
  log = config.logger
  # BigBlueButton's worker waits for us: what does not go at once goes with the next batch.
  quickly = config['url'] ? { attempts: [config.number('attempts').to_i, 3].min } : {}
  SlRecordings::Store.new(config, log: log).deliver(options[:id], finished: options[:format], **quickly)
rescue SlRecordings::Error => e
  log&.error("sl: #{options[:id]} is not sent: #{e.message}")
  abort "post_publish_sl.rb: #{options[:id]} is not sent: #{e.message}"
end
